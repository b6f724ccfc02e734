// Agents' calls in a cluster: each Inbox is served where the inbox is at home, and each offer of a channel is taken
// where it was made.
//
// Defends against members that leave offers lying about, and agents that never say what they call for, or call without
// end: a bound on the offers that are remembered, each for as long as it can be taken, a minute for the first word, and
// kMaxRelayedPerAgent calls that are relayed or have said nothing yet.
#ifndef DOTAGENT_SERVICES_GATEWAY_CLUSTER_CALLS_H_
#define DOTAGENT_SERVICES_GATEWAY_CLUSTER_CALLS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/crypto/keys.h"
#include "common/record/name.h"
#include "common/telemetry/metrics.h"
#include "dotagent/cluster/v1/cluster.pb.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/bidi_stream.h"
#include "services/gateway/channels.h"
#include "services/gateway/cluster_link.h"
#include "services/gateway/homes.h"
#include "services/gateway/listeners.h"
#include "services/gateway/places.h"
#include "services/gateway/token_table.h"

namespace dotagent::gateway_service {

inline constexpr size_t kMaxRelayedPerAgent = 128;

// What an agent hears whose Inbox ends since its home has changed.
[[nodiscard]] absl::Status InboxMoved();

// On the loop.
class ClusterCalls {
 public:
  struct Parts {
    const Homes& homes;
    ClusterLink& link;
    Listeners& listeners;
    Channels& channels;
    std::function<p2p::PeerAddress(const crypto::PublicKey& member)> address_of;
    const Clock& clock;
    telemetry::Metrics& metrics;
  };
  // All must outlive it.
  explicit ClusterCalls(const Parts& parts);
  ~ClusterCalls();

  // An agent's call here.
  void ServeInbox(const std::shared_ptr<Agent>& agent, const std::shared_ptr<InboxStream>& call);
  void ServeChannel(const std::shared_ptr<Agent>& agent, const std::shared_ptr<ChannelStream>& call);
  // One that another member relays.
  void Receive(const cluster::v1::RelayOpen& open, std::shared_ptr<Pipe> pipe);

  // Ends the calls of agents here that are relayed to a home that is none any more.
  void OnMembersChanged();
  // As Listeners::End and Drain, for calls that are relayed.
  void End(const crypto::PublicKey& key, const absl::Status& why);
  // `key` was rotated: its inboxes end, its channels run on.
  void EndInboxes(const crypto::PublicKey& key, const absl::Status& why);
  void Drain(const absl::Status& why);
  void Expire(absl::Time now);

 private:
  struct Relayed {
    crypto::PublicKey agent;
    std::optional<record::Name> inbox;
    crypto::PublicKey home;
    std::function<void(const absl::Status&)> end;
    Places::Place place;
  };
  struct Waiting {  // for its first request
    crypto::PublicKey agent;
    std::function<void(const absl::Status&)> end;
    absl::Time deadline;
    Places::Place place;
  };
  struct NotedOffer {
    crypto::PublicKey home;
    absl::Time lapses;
  };

  // Reads the first request, and gives it to `then`, unless the call ends before.
  template <typename Request, typename Response, typename Then>
  void ReadFirst(const std::shared_ptr<Agent>& agent, const std::shared_ptr<BidiStream<Request, Response>>& call,
                 Then then);
  template <typename Request, typename Response>
  void Relay(const crypto::PublicKey& agent, std::optional<record::Name> inbox, cluster::v1::RelayKind kind,
             const p2p::PeerAddress& home, const std::shared_ptr<BidiStream<Request, Response>>& call,
             const Request& first, std::function<void(const Response&)> seen);
  void NoteOffer(const gateway::v1::InboxResponse& response, const crypto::PublicKey& home);
  void EndWhere(const std::function<bool(const Relayed&)>& matches, const absl::Status& why);
  // Those of `key` that have said nothing yet.
  void EndWaiting(const crypto::PublicKey& key);

  const Parts parts_;
  uint64_t next_id_ = 0;
  absl::flat_hash_map<uint64_t, Relayed> relayed_;
  absl::flat_hash_map<uint64_t, Waiting> waiting_;
  absl::flat_hash_map<std::string, NotedOffer> offers_;  // by channel id
  Places places_{kMaxRelayedPerAgent};                   // of relayed_ and waiting_
  absl::Status drained_;
  telemetry::Gauge& open_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_CLUSTER_CALLS_H_
