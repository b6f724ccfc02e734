// The gateway's logic, put together: what each call of GatewayService does, knowing nothing of gRPC.
#ifndef DOTAGENT_SERVICES_GATEWAY_GATEWAY_H_
#define DOTAGENT_SERVICES_GATEWAY_GATEWAY_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/record/record.h"
#include "common/rpc/call.h"
#include "common/telemetry/metrics.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/admission.h"
#include "services/gateway/asks.h"
#include "services/gateway/authenticator.h"
#include "services/gateway/channels.h"
#include "services/gateway/cluster.h"
#include "services/gateway/cluster_calls.h"
#include "services/gateway/cluster_link.h"
#include "services/gateway/homes.h"
#include "services/gateway/inbox_guard.h"
#include "services/gateway/inbox_store.h"
#include "services/gateway/listeners.h"
#include "services/gateway/post_office.h"
#include "services/gateway/requests.h"
#include "services/gateway/tap.h"
#include "services/gateway/topics.h"
#include "services/gateway/trunk.h"
#include "services/host/directory.h"

namespace dotagent::gateway_service {

// On the loop.
class Gateway {
 public:
  template <typename Response>
  using Done = std::function<void(absl::StatusOr<Response>)>;

  struct Parts {
    const crypto::Signer& key;
    std::string channel_binding;  // SHA-256 of the TLS certificate
    std::function<std::vector<std::string>()> addresses;
    InboxStore& inboxes;
    host::Directory& directory;
    Trunk& trunk;
    Tap& tap;
    InboxGuard& guard;
    RevocationCheck is_revoked;  // from any thread
    const Clock& clock;
    Random& random;  // likewise
    telemetry::Metrics& metrics;
    TokenLimits tokens;
    uint64_t max_channels_per_agent = 64;
    rpc::Executor post;  // runs work later on the loop
    TopicLimits topics = {};
    AdmissionLimits admission = {};
    Cluster* cluster = nullptr;  // that this gateway is part of; and how members are reached
    ClusterLink* cluster_link = nullptr;
    DurableQueues* durable = nullptr;  // null: no durable subscriptions
  };
  // All parts must outlive it.
  explicit Gateway(const Parts& parts);

  [[nodiscard]] gateway::v1::GetInfoResponse GetInfo() const;
  // From any thread; as in negotiate.h.
  [[nodiscard]] absl::StatusOr<gateway::v1::NegotiateResponse> Negotiate(
      const gateway::v1::NegotiateRequest& request) const;
  // The calls Challenge and Authenticate; from any thread.
  [[nodiscard]] Authenticator& authenticator() { return authenticator_; }
  // From any thread.
  [[nodiscard]] Admission& admission() { return admission_; }
  // Is not refused to agents that may not call: it says why. From any thread.
  [[nodiscard]] absl::StatusOr<gateway::v1::GetStandingResponse> GetStanding(absl::string_view token);

  // The calls below take the caller's token first and fail as Authenticator::Caller and Admission::AdmitAgent.
  void Register(absl::string_view token, const gateway::v1::RegisterRequest& request,
                Done<gateway::v1::RegisterResponse> done);
  void Resolve(absl::string_view token, const gateway::v1::ResolveRequest& request,
               Done<gateway::v1::ResolveResponse> done);
  void GetRotation(absl::string_view token, const gateway::v1::GetRotationRequest& request,
                   Done<gateway::v1::GetRotationResponse> done);
  void Send(absl::string_view token, const gateway::v1::SendRequest& request, Done<gateway::v1::SendResponse> done);
  // `deadline`: infinite if the caller gave none.
  void Request(absl::string_view token, const gateway::v1::RequestRequest& request, absl::Time deadline,
               Done<gateway::v1::RequestResponse> done);
  void Ask(absl::string_view token, std::shared_ptr<AskStream> stream);
  void SetInboxPolicy(absl::string_view token, const gateway::v1::SetInboxPolicyRequest& request,
                      Done<gateway::v1::SetInboxPolicyResponse> done);
  void ListDeadLetters(absl::string_view token, const gateway::v1::ListDeadLettersRequest& request,
                       Done<gateway::v1::ListDeadLettersResponse> done);
  void Inbox(absl::string_view token, std::shared_ptr<InboxStream> stream);
  void OpenChannel(absl::string_view token, std::shared_ptr<ChannelStream> stream);
  void Publish(absl::string_view token, const gateway::v1::PublishRequest& request,
               Done<gateway::v1::PublishResponse> done);
  void Subscribe(absl::string_view token, const gateway::v1::SubscribeRequest& request,
                 std::shared_ptr<EventStream> stream);

  void AckPublications(absl::string_view token, const gateway::v1::AckPublicationsRequest& request,
                       Done<gateway::v1::AckPublicationsResponse> done);
  void ListSubscriptions(absl::string_view token, Done<gateway::v1::ListSubscriptionsResponse> done);
  void Unsubscribe(absl::string_view token, const gateway::v1::UnsubscribeRequest& request,
                   Done<gateway::v1::UnsubscribeResponse> done);

  // What ServeTrunk needs.
  [[nodiscard]] TrunkHandlers trunk_handlers();

  // Takes everything from a key: tokens, Inbox calls, subscriptions, channels to and from it.
  void OnRevoked(const crypto::PublicKey& key);
  // Takes what a block of a capability token allowed: what comes with it from now on, and channels that it opened.
  void OnTokenRevoked(const capability::TokenRevocation& revocation);
  // Ends Inbox calls and subscriptions, so that agents go to another gateway at once; channels run on.
  void Drain();
  // Messages that are on their way into an inbox here.
  [[nodiscard]] size_t keeping() const { return post_office_.keeping(); }
  // Housekeeping; call about once a second.
  void Tick();

 private:
  // The name's owner has rotated to `key`: what waited for the keys before it waits for this one; their tokens
  // and Inbox calls end, so that who has stolen one has nothing of them; channels that are open run on.
  void MoveFromRetiredKeys(const std::string& rotation_chain, const record::Name& name, const crypto::PublicKey& key);
  void JoinCluster();
  [[nodiscard]] absl::StatusOr<record::Record> CheckRegistration(const std::string& json, const Agent& agent) const;

  // Whose token this is, if the agent may make a call that costs so much.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Agent>> Admit(absl::string_view token, double cost);
  // The same for what is shed when the gateway cannot keep up.
  template <typename Envelope>
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Agent>> AdmitMessage(absl::string_view token, const Envelope& request,
                                                                    size_t bytes, absl::string_view what);
  [[nodiscard]] absl::Status AdmitTrunk(const crypto::PublicKey& gateway, const trunk::v1::DeliverRequest& request);

  const Parts parts_;
  Admission admission_;
  const LoneHome lone_home_;
  const Homes& homes_;
  Authenticator authenticator_;
  Listeners listeners_;
  Requests requests_;
  PostOffice post_office_;
  Asks asks_;
  Channels channels_;
  Topics topics_;
  std::unique_ptr<ClusterCalls> cluster_calls_;  // if there is a cluster
  absl::Time next_expiry_ = absl::InfinitePast();
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_GATEWAY_H_
