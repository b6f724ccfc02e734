// Publish and Subscribe: publications of agents that live here, to subscribers here and at other gateways, and of
// agents that live elsewhere, to subscribers here.
//
// A publisher's topics live at the first gateway that its record lists. Subscribers there are served at once; the
// gateway of others opens a link to it (topic_links.h), hands over their signed subscriptions, and gets each
// publication once. Delivery is at most once and never waits: who does not keep up misses publications and is told so
// (topic_backlog.h), and so is everyone behind a link that was broken.
//
// Nothing is believed because another gateway says so: the publishers' gateway verifies each subscription, and asks the
// publisher's inbox policy about it (inbox_guard.h, as for a REQUEST with the method `topics`); the subscribers'
// gateway verifies each publication, and that its key is the one in the publisher's record.
//
// A durable subscription is kept on disk by the subscriber's gateway (durable_topic.h), and followed whether or not its
// subscriber is here: at least once, from the first publication after it was made to the last that it has not
// acknowledged. A publisher here hears OK when what it published is on disk for them.
//
// Defends against subscribers without end (a cap an agent and in all), publications sent again (topic_feed.h, and at
// most kMaxPublicationAge old), and gateways that send what does not verify (the link ends after kMaxForgeries).
// Revoked keys lose their subscriptions, and what they sign is passed to nobody. A subscription that a capability token
// allowed ends with the token: when one of its blocks or keys is revoked, or its time is up.
#ifndef DOTAGENT_SERVICES_GATEWAY_TOPICS_H_
#define DOTAGENT_SERVICES_GATEWAY_TOPICS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/record/message.h"
#include "common/record/topic.h"
#include "common/rpc/call.h"
#include "common/telemetry/metrics.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/admission.h"
#include "services/gateway/durable_queues.h"
#include "services/gateway/durable_topic.h"
#include "services/gateway/event_stream.h"
#include "services/gateway/inbox_guard.h"
#include "services/gateway/places.h"
#include "services/gateway/post_office.h"
#include "services/gateway/token_table.h"
#include "services/gateway/topic_feed.h"
#include "services/gateway/topic_links.h"
#include "services/gateway/topic_subscriber.h"
#include "services/gateway/trunk.h"
#include "services/host/directory.h"

namespace dotagent::gateway_service {

// Of a publication, and of a subscription when an agent makes it; a gateway may repeat a subscription for longer.
inline constexpr absl::Duration kMaxPublicationAge = absl::Minutes(5);
inline constexpr absl::Duration kMaxSubscriptionAge = absl::Hours(24);
inline constexpr int kMaxForgeries = 16;  // in a row

struct TopicLimits {
  size_t max_per_agent = 64;          // subscriptions
  size_t max_subscriptions = 50'000;  // of agents here
  size_t max_publishers = 20'000;     // of whom something is known
  TopicBacklog::Limits agent_backlog = {.entries = 1024, .bytes = size_t{1} << 20};
  TopicBacklog::Limits link_backlog = {.entries = 4096, .bytes = size_t{4} << 20};  // a publisher
};

// On the loop.
class Topics {
 public:
  struct Parts {
    crypto::PublicKey self;
    host::Directory& directory;
    Trunk& trunk;
    InboxGuard& guard;
    RevocationCheck is_revoked;
    const Clock& clock;
    Random& random;
    rpc::Executor post;
    telemetry::Metrics& metrics;
    Admission& admission;
    TopicLimits limits = {};
    DurableQueues* durable = nullptr;  // null: no durable subscriptions
  };
  // All parts must outlive it.
  explicit Topics(const Parts& parts);
  ~Topics();

  // InvalidArgument if a rule of publications is broken, FailedPrecondition (STALE) if it is too old, PermissionDenied
  // (KEY_MISMATCH) if the agent does not hold the sender's name, FailedPrecondition (BAD_ADDRESS) if its topics live
  // elsewhere.
  void Publish(const std::shared_ptr<Agent>& agent, const gateway::v1::PublishRequest& request,
               std::function<void(absl::StatusOr<gateway::v1::PublishResponse>)> done);
  // Serves a Subscribe call until its end.
  void Subscribe(const std::shared_ptr<Agent>& agent, const gateway::v1::SubscribeRequest& request,
                 std::shared_ptr<EventStream> stream);
  // Durable subscriptions, which the agent's key has.
  void AckPublications(const Agent& agent, const gateway::v1::AckPublicationsRequest& request,
                       const std::function<void(absl::Status)>& done);
  [[nodiscard]] gateway::v1::ListSubscriptionsResponse ListSubscriptions(const Agent& agent) const;
  void Unsubscribe(const Agent& agent, const gateway::v1::UnsubscribeRequest& request,
                   const std::function<void(absl::Status)>& done);
  // A link that another gateway has opened; it takes the place of an earlier one of the same gateway.
  void Receive(const crypto::PublicKey& gateway, std::shared_ptr<Pipe> pipe);

  // Takes the subscriptions of `key` away.
  void End(const crypto::PublicKey& key, const absl::Status& why);
  // Takes those away that a token allowed in which something has been revoked since.
  void EndRevoked();
  // Ends everything and refuses what is new.
  void Drain(const absl::Status& why);
  // Call about once a second.
  void Tick();

  [[nodiscard]] size_t subscriptions() const { return locals_.size(); }
  [[nodiscard]] size_t links() const { return up_.size() + down_.size(); }

 private:
  using FeedPtr = std::shared_ptr<TopicFeed>;
  struct Wish {  // a subscription
    record::Message message;
    record::TopicPattern pattern;
  };
  // A Subscribe call.
  struct Local {
    uint64_t id = 0;
    std::shared_ptr<Agent> agent;
    Places::Place place;  // nullptr of one that was restored beyond what an agent may have now
    Wish wish;
    std::string json;
    std::string token;
    FeedPtr feed;
    std::shared_ptr<LocalSink> sink = nullptr;
    std::shared_ptr<DurableTopic> durable = nullptr;     // the same, of a durable one
    bool restored = false;                               // joined when the gateway started, and not placed since
    bool joined = false;                                 // publications come
    DownLink::TokenPtr allowed_by = nullptr;             // by a publisher here
    std::optional<crypto::PublicKey> up = std::nullopt;  // over a link to this gateway
    bool stray = false;                                  // which says that the publisher does not live there
    absl::Time verdict_due = absl::InfiniteFuture();
  };
  using LocalPtr = std::shared_ptr<Local>;
  struct Up {
    std::shared_ptr<UpLink> link;
    size_t users = 0;
    int forgeries = 0;
  };
  struct Draft {  // a publication
    record::Message message;
    record::Topic topic;
    crypto::PublicKey key;
  };
  using Next = std::function<void(absl::Status)>;

  [[nodiscard]] absl::StatusOr<FeedPtr> FeedOf(const record::Name& publisher);
  void Locate(const FeedPtr& feed, absl::Duration max_age, Next done);

  // Publications.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<const Draft>> OpenPublication(const std::string& json,
                                                                             const crypto::PublicKey& key) const;
  void CheckPublisher(const FeedPtr& feed, const crypto::PublicKey& key, bool here, Next done);
  [[nodiscard]] absl::Status FitsPublisher(const TopicFeed& feed, const crypto::PublicKey& key, bool here) const;
  [[nodiscard]] gateway::v1::PublishResponse Release(const FeedPtr& feed, const Draft& draft);

  // Subscriptions.
  [[nodiscard]] absl::StatusOr<Wish> OpenSubscription(const std::string& json, const std::string& token,
                                                      const crypto::PublicKey& key, absl::Duration max_age) const;
  [[nodiscard]] absl::Status CanSubscribe(const crypto::PublicKey& key) const;
  [[nodiscard]] absl::Status StillAllows(const InboxGuard::Admitted& allowed) const;
  void Place(const LocalPtr& local);
  void PlaceHere(const LocalPtr& local);
  void PlaceThere(const LocalPtr& local);
  void Join(const LocalPtr& local, uint64_t sequence);
  void Drop(const LocalPtr& local, const absl::Status& why);
  void DropWhere(const std::function<bool(const Local&)>& matches, const absl::Status& why);
  void EndUnlessHeld(const std::function<absl::Status(const capability::Token&)>& holds);

  // Durable subscriptions: topics_durable.cc.
  void RestoreDurables();
  void SubscribeDurable(const std::shared_ptr<Agent>& agent, const gateway::v1::SubscribeRequest& request, Wish wish,
                        const std::shared_ptr<EventStream>& stream);
  void FollowDurable(const std::shared_ptr<Agent>& agent, const gateway::v1::SubscribeRequest& request,
                     const Wish& wish, const DurableId& id, const std::shared_ptr<EventStream>& stream);
  [[nodiscard]] absl::StatusOr<LocalPtr> AddDurable(const std::shared_ptr<Agent>& agent,
                                                    const gateway::v1::SubscribeRequest& request, const Wish& wish,
                                                    const DurableId& id, bool made);
  // What a request on our disk is for. Its signature was checked when it came, and may be a former key's by now.
  struct Target {
    record::Name publisher;
    record::TopicPattern pattern;
  };
  [[nodiscard]] static absl::StatusOr<Target> TargetOf(const gateway::v1::SubscribeRequest& request);
  // That it asks for what the subscription of that name, if there is one, is for.
  [[nodiscard]] absl::Status FitsDurable(const DurableId& id, const Wish& wish) const;
  [[nodiscard]] absl::StatusOr<DurableId> DurableIdOf(const Agent& agent, const std::string& name,
                                                      const std::string& durable_name) const;

  // `again`: also places those anew who are where they should be.
  void LookForMoved(const FeedPtr& feed, absl::Duration max_age, bool again);

  // Links to publishers.
  void LeaveLink(Local& local);
  void SendAdd(const Local& local);
  void OnLinkOpened(const crypto::PublicKey& gateway);
  void OnLinkBroken(const crypto::PublicKey& gateway, const absl::Status& why);
  // Nothing comes from there until a subscription is confirmed anew.
  void Interrupt(const crypto::PublicKey& gateway);
  void OnLinkEvent(const crypto::PublicKey& gateway, const trunk::v1::TopicsEvent& event, Next next);
  [[nodiscard]] absl::Status OnVerdict(const crypto::PublicKey& gateway, const trunk::v1::TopicsVerdict& verdict);
  [[nodiscard]] absl::Status OnConfirmed(const LocalPtr& local, const trunk::v1::TopicsVerdict& verdict);
  [[nodiscard]] absl::Status OnMissed(const crypto::PublicKey& gateway, const trunk::v1::TopicsMissed& missed);
  void OnPublication(const crypto::PublicKey& gateway, const trunk::v1::TopicsPublication& publication, Next next);
  [[nodiscard]] FeedPtr FeedBehind(const crypto::PublicKey& gateway, const std::string& publisher) const;
  [[nodiscard]] absl::Status CountForgery(const crypto::PublicKey& gateway, const absl::Status& why);

  // Links from subscribers.
  void Admit(const crypto::PublicKey& gateway, const trunk::v1::TopicsAdd& add,
             std::function<void(absl::StatusOr<DownLink::Admission>)> done);
  void AdmitFor(const std::shared_ptr<const Wish>& wish, const crypto::PublicKey& key, const std::string& token,
                std::function<void(absl::StatusOr<DownLink::Admission>)> done);

  void TickFeeds(absl::Time now);
  void TickLocals(absl::Time now);
  void TickTokens(absl::Time now);
  void TickLinks(absl::Time now);
  void TickDurables(absl::Time now);

  const Parts parts_;
  const std::shared_ptr<Flusher> flusher_;
  record::TopicTrie::Id last_id_ = 0;
  absl::flat_hash_map<std::string, FeedPtr> feeds_;  // by the publisher's name
  absl::flat_hash_map<uint64_t, LocalPtr> locals_;
  Places locals_of_agent_;
  absl::flat_hash_map<std::string, LocalPtr> durables_;  // by DurableId::ToString
  absl::Time next_touch_ = absl::InfinitePast();
  absl::Time next_token_check_ = absl::InfinitePast();
  absl::flat_hash_map<crypto::PublicKey, Up> up_;
  absl::flat_hash_map<crypto::PublicKey, std::shared_ptr<DownLink>> down_;
  absl::Status drained_;  // not OK once drained
  telemetry::Counter& accepted_;
  telemetry::Counter& duplicates_;
  telemetry::Counter& refused_;
  telemetry::Counter& forged_;
  telemetry::Counter& to_gateways_;
  telemetry::Counter& link_missed_;
  telemetry::Gauge& of_agents_;
  telemetry::Gauge& of_gateways_;
  telemetry::Gauge& link_count_;
  const TopicMetrics subscriber_metrics_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_TOPICS_H_
