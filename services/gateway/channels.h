// Channels: pipes of bytes between two agents, over this gateway alone or over this one and another.
//
// A channel begins as a call. The callee's listener is offered it (listeners.h), takes it with an OpenChannel call of
// its own within 20 seconds, and from then on bytes are copied and not looked at (splice.h). Whether it is offered the
// call at all is decided by its inbox policy (inbox_guard.h); if that took a capability token, the channel ends when a
// block of it is taken back.
//
// Each OpenChannel call and each stream from another gateway is a *leg*. A leg knows the keys at both ends of its
// channel, so that a revocation ends it whichever side is struck, at any stage.
//
// Defends against an agent that opens channels without end (a cap an agent, counted from the call on), strangers who
// leave offers lying about (a cap in all, 20 seconds), and calls that never say what they want (a deadline a leg).
#ifndef DOTAGENT_SERVICES_GATEWAY_CHANNELS_H_
#define DOTAGENT_SERVICES_GATEWAY_CHANNELS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/telemetry/metrics.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/homes.h"
#include "services/gateway/inbox_guard.h"
#include "services/gateway/listeners.h"
#include "services/gateway/pipe.h"
#include "services/gateway/places.h"
#include "services/gateway/post_office.h"
#include "services/gateway/splice.h"
#include "services/gateway/tap.h"
#include "services/gateway/token_table.h"
#include "services/gateway/trunk.h"
#include "services/host/directory.h"

namespace dotagent::gateway_service {

// Clearly less than what clients wait (sdk::GatewayOptions::timeout, 30 s), so that the caller hears why.
inline constexpr absl::Duration kOfferLifetime = absl::Seconds(20);
inline constexpr absl::Duration kSetupTime = absl::Minutes(1);  // from a leg's beginning until it carries bytes
inline constexpr size_t kMaxPendingOffers = 4096;

// On the loop.
class Channels {
 public:
  struct Parts {
    const Homes& homes;
    Listeners& listeners;
    host::Directory& directory;
    Trunk& trunk;
    Tap& tap;
    InboxGuard& guard;
    RevocationCheck is_revoked;
    const Clock& clock;
    Random& random;
    telemetry::Metrics& metrics;
    uint64_t max_per_agent = 64;
  };
  // All parts must outlive it.
  explicit Channels(const Parts& parts);
  ~Channels();

  // Serves an OpenChannel call until its end.
  void Serve(std::shared_ptr<Agent> agent, std::shared_ptr<ChannelStream> stream);
  // A channel that another gateway asks for.
  void Receive(IncomingTrunk incoming);

  // Ends every channel with `key` at either end.
  void End(const crypto::PublicKey& key, const absl::Status& why);
  // Ends the channels whose token no longer holds; after the guard has heard of the revocation.
  void EndRevoked();
  // Ends offers that nobody took, legs that took too long to begin, and channels whose token's time is up. Call about
  // once a second.
  void Expire(absl::Time now);

  [[nodiscard]] size_t offers() const { return offers_.size(); }
  [[nodiscard]] size_t legs() const { return legs_.size(); }

 private:
  struct Leg;
  using LegPtr = std::shared_ptr<Leg>;
  using Answer = std::function<void(absl::StatusOr<LegPtr> callee)>;
  struct Offer {
    InboxId callee;
    LegPtr caller;
    std::string path;
    absl::Time lapses;
    Answer answer;  // gets the callee's leg
  };

  void Call(const LegPtr& leg, const std::shared_ptr<Agent>& agent, const gateway::v1::ChannelCall& call);
  void CallHere(const LegPtr& leg, const record::Name& caller, const record::Record& recipient);
  // To the first of `gateways` that is reached.
  void CallThere(const LegPtr& leg, const record::Name& caller, const record::Record& recipient,
                 absl::StatusOr<std::vector<p2p::PeerAddress>> gateways);
  // What another gateway asks of the whole cluster, at the member where the callee's inbox is.
  void PassOn(const LegPtr& leg, const IncomingTrunk& incoming, const p2p::PeerAddress& home);
  void JoinTrunks(const LegPtr& leg, std::shared_ptr<Pipe> near, std::shared_ptr<Pipe> far);
  // As CallThere and CallHere, for another gateway's leg.
  void ReceiveFor(const LegPtr& leg, const IncomingTrunk& incoming, const record::Name& caller,
                  const record::Name& recipient);
  void AcceptTrunk(const LegPtr& leg, const IncomingTrunk& incoming, const LegPtr& callee, const std::string& path);
  void Accept(const LegPtr& leg, const gateway::v1::ChannelAccept& accept);
  [[nodiscard]] absl::StatusOr<record::Record> CheckRecipient(absl::StatusOr<host::Resolution> found) const;
  // Asks the callee's policy, then offers the call.
  void MakeOffer(const LegPtr& caller, const record::Record& callee, const record::Name& caller_name,
                 const std::string& path, Answer answer);
  [[nodiscard]] absl::Status CanOffer(const InboxId& callee) const;
  void TellOpened(const LegPtr& leg, const LegPtr& peer, const std::string& path, std::function<void()> then);
  void Join(const LegPtr& agent, std::shared_ptr<Pipe> other_pipe, const LegPtr& other);
  void Forget(const LegPtr& leg);
  // `place`: nullptr if it is another gateway's agent.
  [[nodiscard]] LegPtr NewLeg(const crypto::PublicKey& agent, Places::Place place);
  void EndLeg(const LegPtr& leg, const absl::Status& why);
  void EndWhere(const std::function<bool(const Leg&)>& matches, const absl::Status& why);
  void EndUnlessHeld(const std::function<absl::Status(const capability::Token&)>& holds);

  const Parts parts_;
  absl::flat_hash_map<const Leg*, LegPtr> legs_;
  Places legs_of_agent_;
  absl::flat_hash_map<std::string, Offer> offers_;  // by channel id
  telemetry::Gauge& open_;
  telemetry::Counter& opened_;
  telemetry::Counter& refused_;
  telemetry::Counter& bytes_from_agents_;
  telemetry::Counter& bytes_to_agents_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_CHANNELS_H_
