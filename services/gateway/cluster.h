// This gateway as a member of a cluster (docs/adr/0025): finds and probes the others, tells them its inbox policies,
// says where each inbox is at home, hands over what is for inboxes elsewhere, and moves inboxes when homes change.
//
// Who is there is cluster_members.h, how they speak cluster_link.h, how an inbox moves inbox_mover.h.
//
// Defends against members whose views differ (what comes from a member is kept and not passed on), against a member
// that is slow (each call has a deadline, and one probe a member is under way), and against hearsay: an address that
// another member names, or the DNS, is asked, and counts once whoever is there has proved to be a member.
#ifndef DOTAGENT_SERVICES_GATEWAY_CLUSTER_H_
#define DOTAGENT_SERVICES_GATEWAY_CLUSTER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/crypto/keys.h"
#include "common/p2p/multiaddr.h"
#include "common/p2p/name_resolver.h"
#include "common/p2p/node.h"
#include "common/record/name.h"
#include "common/record/record.h"
#include "common/telemetry/metrics.h"
#include "dotagent/cluster/v1/cluster.pb.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/cluster_link.h"
#include "services/gateway/cluster_members.h"
#include "services/gateway/homes.h"
#include "services/gateway/inbox_guard.h"
#include "services/gateway/inbox_mover.h"
#include "services/gateway/inbox_store.h"

namespace dotagent::gateway_service {

// On the loop.
class Cluster : public Homes {
 public:
  struct Parts {
    crypto::PublicKey self;
    uint64_t generation = 0;  // random
    std::function<std::vector<std::string>()> addresses;
    // Where members may be: addresses, and names that stand for several (a Kubernetes headless service).
    std::vector<p2p::Multiaddr> peers;
    p2p::NameResolver* names = nullptr;  // needed if there are names
    ClusterLink& link;
    InboxStore& inboxes;
    InboxGuard& guard;
    const Clock& clock;
    telemetry::Metrics& metrics;
    ClusterMembers::Limits limits = {};
  };
  // What members ask of the gateway.
  struct Handlers {
    std::function<void(const trunk::v1::DeliverRequest&, std::function<void(absl::StatusOr<bool>)>)> deliver;
    std::function<void(const trunk::v1::RequestCall&, std::function<void(absl::StatusOr<Answer>)>)> request;
    std::function<void(const cluster::v1::RelayOpen&, std::shared_ptr<Pipe>)> relay;
    std::function<void(const std::string& rotation_chain, const record::Name&, const crypto::PublicKey&)> registered;
    std::function<void(const InboxId&)> came;     // messages that moved here
    std::function<void(const InboxId&)> leaving;  // the inbox moves away
    std::function<void()> members_changed;
  };
  // All parts must outlive it.
  explicit Cluster(Parts parts);
  ~Cluster() override;

  // Before the first Tick.
  void Serve(Handlers handlers) { handlers_ = std::move(handlers); }
  [[nodiscard]] ClusterHandlers link_handlers();
  // Call several times a second.
  void Tick();

  // Tells the others that this gateway is no home any more, and begins to move its inboxes to theirs.
  void Drain();
  // A message was kept here though its inbox has moved: by a member with a late view, or while homes changed.
  void OnLeftBehind();
  // Of a cluster that drains: nothing is left to be moved, or nobody is there to take it.
  [[nodiscard]] bool moved_out() const;
  // This gateway knows its cluster, and can be a home.
  [[nodiscard]] bool joined() const { return members_.joined(); }

  // homes.h
  [[nodiscard]] bool LivesHere(const record::Record& record) const override;
  [[nodiscard]] absl::StatusOr<std::shared_ptr<FellowGateway>> HomeOf(const record::Name& name) const override;
  [[nodiscard]] bool IsFellow(const crypto::PublicKey& gateway) const override {
    return members_.Find(gateway) != nullptr;
  }

  // Where a member is, as far as is known.
  [[nodiscard]] p2p::PeerAddress AddressOf(const crypto::PublicKey& member) const;
  // For the records of agents served here: this gateway's own, then those of two others that answer.
  [[nodiscard]] std::vector<std::string> RecordAddresses() const;
  // Hands a policy that was set here to all members that answer. Unavailable (UNREACHABLE) if one of them does not take
  // it: it holds at the others, and is to be set again.
  void SharePolicy(const record::Name& name, std::function<void(absl::Status)> done);
  // Tells all members of a registration here; one that does not hear of it learns it at the next one.
  void ShareRegistration(const std::string& rotation_chain, const record::Name& name, const crypto::PublicKey& key);
  // An inbox's dead letters, from its home: another gateway.
  void ListDeadLetters(const p2p::PeerAddress& home, const InboxId& inbox, uint64_t after,
                       std::function<void(absl::StatusOr<gateway::v1::ListDeadLettersResponse>)> done);

 private:
  class Fellow;

  void Probe();
  void LookUpNames();
  void AskAddress(const p2p::Multiaddr& address);
  void SayHello(const p2p::PeerAddress& member);
  // At once, beside a probe that may be under way: there is news.
  void Announce(const ClusterMember& member);
  [[nodiscard]] cluster::v1::Hello HelloTo(const crypto::PublicKey& member) const;
  void OnHello(const crypto::PublicKey& member, const cluster::v1::Hello& hello);
  void NoteFellow(const ClusterMember& member);
  void TellPolicies(const ClusterMember& member, const std::string& after);
  void OnMembers();
  // A question that is under way, by whom it is asked; false: it is already.
  [[nodiscard]] bool BeginAsking(const std::string& whom);
  void EndAsking(const std::string& whom);

  void OnCall(const crypto::PublicKey& member, const cluster::v1::ClusterCall& call, ClusterLink::Answered answer);
  [[nodiscard]] absl::Status CanBeHome() const;
  void OnMove(const cluster::v1::MoveInbox& part, ClusterLink::Answered answer);
  void OnRegistered(const cluster::v1::Registered& registered);
  [[nodiscard]] absl::StatusOr<cluster::v1::ClusterAnswer> OnListDead(const cluster::v1::ListDead& ask) const;

  const Parts parts_;
  Handlers handlers_;
  ClusterMembers members_;
  InboxMover mover_;
  uint64_t version_ = 0;  // of the members, as told to handlers_
  absl::Duration next_probe_;
  absl::Duration next_lookup_;
  absl::flat_hash_set<std::string> asking_;
  absl::flat_hash_set<std::string> first_round_;  // of asking_: those after which we have looked
  bool looked_ = false;
  size_t lookups_ = 0;                                                       // of names, under way in the first round
  std::vector<p2p::Multiaddr> hearsay_;                                      // addresses to ask besides parts_.peers
  absl::flat_hash_set<crypto::PublicKey> telling_;                           // policies
  absl::flat_hash_map<crypto::PublicKey, std::shared_ptr<Fellow>> fellows_;  // all members but this gateway
  absl::flat_hash_set<std::string> peer_ids_;                                // of this gateway and of fellows_
  telemetry::Gauge& up_;
  telemetry::Gauge& active_;
  telemetry::Counter& forwarded_messages_;
  telemetry::Counter& forwarded_requests_;
  // Callbacks that come when it is gone find that out.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_CLUSTER_H_
