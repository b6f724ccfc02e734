#include "services/gateway/topics.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/capability/token.h"
#include "services/gateway/holder_check.h"

namespace dotagent::gateway_service {
namespace {

using gateway::v1::PublishResponse;

constexpr char kPublications[] = "dotagent_gateway_publications_total";
constexpr char kPublicationsHelp[] = "Publications taken from agents and from other gateways, by what became of them.";
constexpr char kDelivered[] = "dotagent_gateway_publications_delivered_total";
constexpr char kDeliveredHelp[] = "Publications written to subscribers and to other gateways.";
constexpr char kMissed[] = "dotagent_gateway_publications_missed_total";
constexpr char kMissedHelp[] = "Publications that a subscriber or a link was too slow for.";
constexpr char kSubscriptions[] = "dotagent_gateway_subscriptions";
constexpr char kSubscriptionsHelp[] = "Subscriptions to topics that are open here, by whose they are.";

constexpr size_t kMaxSubscriptionSize = 4096;
constexpr absl::Duration kBelieved = absl::Minutes(1);      // where a publisher lives
constexpr absl::Duration kAskAgain = absl::Seconds(5);      // where what is known does not fit
constexpr absl::Duration kVerdictTime = absl::Seconds(20);  // for the publisher's gateway to answer

absl::Status Stale(absl::string_view what, absl::Duration max_age) {
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, reason::kStale,
      absl::StrCat("the ", what, " is over ", absl::FormatDuration(max_age), " old; sign a new one"));
}

absl::Status Revoked(const record::Name& name) {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                         absl::StrCat("the key of ", name.text(), " has been revoked"));
}

absl::Status LivesElsewhere(const record::Name& name) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kBadAddress,
                         absl::StrCat("the topics of ", name.text(),
                                      " live at the first gateway that its record lists, which is not this one"));
}

absl::Status Unreachable(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable, message);
}

uint64_t RandomNumber(Random& random) {
  uint64_t number = 0;
  random.Fill(&number, sizeof number);
  return number;
}

}  // namespace

Topics::Topics(const Parts& parts)
    : parts_(parts),
      flusher_(std::make_shared<Flusher>(parts.post)),
      locals_of_agent_(parts.limits.max_per_agent),
      accepted_(parts.metrics.AddCounter(kPublications, kPublicationsHelp, {{"outcome", "accepted"}})),
      duplicates_(parts.metrics.AddCounter(kPublications, kPublicationsHelp, {{"outcome", "duplicate"}})),
      refused_(parts.metrics.AddCounter(kPublications, kPublicationsHelp, {{"outcome", "refused"}})),
      forged_(parts.metrics.AddCounter(kPublications, kPublicationsHelp, {{"outcome", "forged"}})),
      to_gateways_(parts.metrics.AddCounter(kDelivered, kDeliveredHelp, {{"to", "gateway"}})),
      link_missed_(parts.metrics.AddCounter(kMissed, kMissedHelp, {{"by", "gateway"}})),
      of_agents_(parts.metrics.AddGauge(kSubscriptions, kSubscriptionsHelp, {{"of", "agent"}})),
      of_gateways_(parts.metrics.AddGauge(kSubscriptions, kSubscriptionsHelp, {{"of", "gateway"}})),
      link_count_(parts.metrics.AddGauge("dotagent_gateway_topic_links", "Links to and from gateways for topics.")),
      subscriber_metrics_{.delivered = parts.metrics.AddCounter(kDelivered, kDeliveredHelp, {{"to", "agent"}}),
                          .missed = parts.metrics.AddCounter(kMissed, kMissedHelp, {{"by", "agent"}})} {
  RestoreDurables();
}

Topics::~Topics() { Drain(Unreachable("this gateway is gone")); }

absl::StatusOr<Topics::FeedPtr> Topics::FeedOf(const record::Name& publisher) {
  if (!drained_.ok()) return drained_;
  const auto known = feeds_.find(publisher.text());
  if (known != feeds_.end()) return known->second;
  if (feeds_.size() >= parts_.limits.max_publishers) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           "this gateway has too many publishers at once; try again later");
  }
  auto feed = std::make_shared<TopicFeed>(publisher, RandomNumber(parts_.random));
  feed->last_used = parts_.clock.Now();
  feeds_.emplace(publisher.text(), feed);
  return feed;
}

void Topics::Locate(const FeedPtr& feed, absl::Duration max_age, Next done) {
  feed->Locate(parts_.directory, parts_.clock, parts_.self, max_age, std::move(done));
}

absl::StatusOr<std::shared_ptr<const Topics::Draft>> Topics::OpenPublication(const std::string& json,
                                                                             const crypto::PublicKey& key) const {
  if (json.size() > record::kMaxMessageSize) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, reason::kTooLarge,
        absl::StrCat("the publication has ", json.size(), " bytes; at most ", record::kMaxMessageSize, " are allowed"));
  }
  const absl::Time now = parts_.clock.Now();
  ASSIGN_OR_RETURN(record::Message message, record::Message::Verify(json, key, now));
  ASSIGN_OR_RETURN(record::Topic topic, record::PublicationTopic(message));
  if (now - message.timestamp() > kMaxPublicationAge) return Stale("publication", kMaxPublicationAge);
  if (parts_.is_revoked(key)) return Revoked(message.sender());
  return std::make_shared<const Draft>(Draft{std::move(message), std::move(topic), key});
}

absl::Status Topics::FitsPublisher(const TopicFeed& feed, const crypto::PublicKey& key, bool here) const {
  if (feed.record()->public_key() != key) {
    return ErrorWithReason(
        absl::StatusCode::kPermissionDenied, reason::kKeyMismatch,
        absl::StrCat(feed.name().text(), " is held by another key than the one that signed the publication"));
  }
  return feed.here() == here ? absl::OkStatus() : LivesElsewhere(feed.name());
}

void Topics::CheckPublisher(const FeedPtr& feed, const crypto::PublicKey& key, bool here, Next done) {
  Locate(feed, kBelieved, [this, feed, key, here, done = std::move(done)](const absl::Status& located) {
    if (!located.ok()) return done(located);
    if (FitsPublisher(*feed, key, here).ok()) return done(absl::OkStatus());
    // The record may have changed since it was looked at.
    Locate(feed, kAskAgain, [this, feed, key, here, done](const absl::Status& again) {
      done(again.ok() ? FitsPublisher(*feed, key, here) : again);
    });
  });
}

void Topics::Publish(const std::shared_ptr<Agent>& agent, const gateway::v1::PublishRequest& request,
                     std::function<void(absl::StatusOr<PublishResponse>)> done) {
  done = [this, done = std::move(done)](const absl::StatusOr<PublishResponse>& result) {
    (!result.ok() ? refused_ : result->duplicate() ? duplicates_ : accepted_).Increment();
    done(result);
  };
  const auto draft = OpenPublication(request.message_json(), agent->key);
  parts_.admission.NoteChecked(agent->key, draft.status());
  if (!draft.ok()) return done(draft.status());
  const auto feed = FeedOf((*draft)->message.sender());
  if (!feed.ok()) return done(feed.status());
  CheckPublisher(
      *feed, agent->key, true,
      [this, feed = *feed, draft = *draft, done = std::move(done)](const absl::Status& checked) {
        if (absl::IsNotFound(checked)) {
          return done(ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kNameNotFound,
                                      absl::StrCat(feed->name().text(), " is not registered; register it first")));
        }
        if (!checked.ok()) return done(checked);
        const uint64_t before = parts_.durable == nullptr ? 0 : parts_.durable->appended();
        const PublishResponse response = Release(feed, *draft);
        // Of a duplicate the first copy may still be on its way to the disk.
        const bool kept = parts_.durable != nullptr && (parts_.durable->appended() != before || response.duplicate());
        if (!kept) return done(response);
        // Those for whom it could not be written are told so; it is published all the same.
        parts_.durable->AfterWritten([response, done](const absl::Status&) { done(response); });
      });
}

PublishResponse Topics::Release(const FeedPtr& feed, const Draft& draft) {
  PublishResponse response;
  feed->last_used = parts_.clock.Now();
  if (!feed->recent_ids.Add(draft.message.id())) {
    response.set_duplicate(true);
    return response;
  }
  const uint64_t sequence = feed->NextSequence();
  const TopicFeed::Reach reach =
      feed->Distribute(draft.topic, SharePublication(sequence, draft.message.json(), draft.key, feed->has_gateways()));
  response.set_sequence(sequence);
  response.set_subscribers(reach.subscribers);
  response.set_gateways(reach.gateways);
  return response;
}

absl::StatusOr<Topics::Wish> Topics::OpenSubscription(const std::string& json, const std::string& token,
                                                      const crypto::PublicKey& key, absl::Duration max_age) const {
  if (json.size() > kMaxSubscriptionSize || token.size() > capability::kMaxTokenSize) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                           absl::StrCat("a subscription has at most ", kMaxSubscriptionSize, " bytes, its token ",
                                        capability::kMaxTokenSize));
  }
  const absl::Time now = parts_.clock.Now();
  ASSIGN_OR_RETURN(record::Message message, record::Message::Verify(json, key, now));
  ASSIGN_OR_RETURN(record::TopicPattern pattern, record::SubscriptionPattern(message));
  if (now - message.timestamp() > max_age) return Stale("subscription", max_age);
  if (parts_.is_revoked(key)) return Revoked(message.sender());
  return Wish{std::move(message), std::move(pattern)};
}

absl::Status Topics::CanSubscribe(const crypto::PublicKey& key) const {
  if (!drained_.ok()) return drained_;
  if (locals_of_agent_.Full(key.bytes())) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("this agent has ", parts_.limits.max_per_agent,
                                        " subscriptions open; end one, or take a wider pattern"));
  }
  if (locals_.size() < parts_.limits.max_subscriptions) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         "this gateway has too many subscriptions; try again later");
}

void Topics::Subscribe(const std::shared_ptr<Agent>& agent, const gateway::v1::SubscribeRequest& request,
                       std::shared_ptr<EventStream> stream) {
  if (!drained_.ok()) return stream->Finish(drained_);
  auto wish = OpenSubscription(request.message_json(), request.token(), agent->key, kMaxPublicationAge);
  if (!wish.ok()) return stream->Finish(wish.status());
  if (!request.durable_name().empty()) return SubscribeDurable(agent, request, *std::move(wish), stream);
  if (const absl::Status can = CanSubscribe(agent->key); !can.ok()) return stream->Finish(can);
  auto feed = FeedOf(wish->message.recipient());
  if (!feed.ok()) return stream->Finish(feed.status());
  const auto local = std::make_shared<Local>(Local{.id = ++last_id_,
                                                   .agent = agent,
                                                   .place = locals_of_agent_.Take(agent->key.bytes()),
                                                   .wish = *std::move(wish),
                                                   .json = request.message_json(),
                                                   .token = request.token(),
                                                   .feed = *std::move(feed)});
  const auto gone = [this, weak = std::weak_ptr<Local>(local)] {
    if (const auto ended = weak.lock()) Drop(ended, absl::CancelledError("the subscriber has gone"));
  };
  local->sink =
      std::make_shared<TopicSubscriber>(stream, flusher_, parts_.limits.agent_backlog, subscriber_metrics_, gone);
  locals_.emplace(local->id, local);
  of_agents_.Set(static_cast<double>(locals_.size()));
  stream->OnCancelled(gone);
  CheckHolder(parts_.directory, parts_.clock, agent, local->wish.message.sender(),
              [this, local](const absl::Status& holds) {
                if (!holds.ok()) return Drop(local, WithContext(holds, "subscriber"));
                Locate(local->feed, kBelieved, [this, local](const absl::Status& located) {
                  if (!located.ok()) return Drop(local, WithContext(located, "publisher"));
                  Place(local);
                });
              });
}

// By where its publisher lives now.
void Topics::Place(const LocalPtr& local) {
  if (!locals_.contains(local->id)) return;  // ended meanwhile
  local->stray = false;
  TopicFeed& feed = *local->feed;
  if (!feed.followed || !feed.has_members()) feed.followed = feed.home().key;
  if (parts_.is_revoked(local->feed->record()->public_key())) return Drop(local, Revoked(local->feed->name()));
  local->feed->here() ? PlaceHere(local) : PlaceThere(local);
}

void Topics::PlaceHere(const LocalPtr& local) {
  LeaveLink(*local);
  local->feed->live = false;
  local->allowed_by = nullptr;
  parts_.guard.Check(local->wish.message, local->agent->key, *local->feed->record(), local->token,
                     [this, local](const InboxGuard::Admitted& allowed) {
                       if (!locals_.contains(local->id)) return;
                       const absl::Status held = StillAllows(allowed);
                       if (!held.ok()) return Drop(local, held);
                       local->allowed_by = *allowed;
                       // Of a publisher here nothing was published while this gateway was down.
                       if (std::exchange(local->restored, false)) return;
                       if (local->joined) return local->sink->Miss({.cause = gateway::v1::MISSED_CAUSE_RESTART});
                       Join(local, local->feed->sequence());
                     });
}

// Counting a use takes a while, in which it may have been taken back.
absl::Status Topics::StillAllows(const InboxGuard::Admitted& allowed) const {
  RETURN_IF_ERROR(allowed.status());
  return *allowed == nullptr ? absl::OkStatus() : parts_.guard.StillHolds(**allowed);
}

void Topics::PlaceThere(const LocalPtr& local) {
  const crypto::PublicKey gateway = *local->feed->home().key;
  local->restored = false;
  if (local->up == gateway) return;
  LeaveLink(*local);
  local->up = gateway;
  local->verdict_due = parts_.clock.Now() + kVerdictTime;
  Up& up = up_[gateway];
  ++up.users;
  if (up.link == nullptr) {
    up.link = std::make_shared<UpLink>(
        local->feed->home(), parts_.trunk, parts_.clock, parts_.random,
        UpLink::Handlers{.opened = [this, gateway] { OnLinkOpened(gateway); },
                         .broken = [this, gateway](const absl::Status& why) { OnLinkBroken(gateway, why); },
                         .event = [this, gateway](const trunk::v1::TopicsEvent& event,
                                                  Next next) { OnLinkEvent(gateway, event, std::move(next)); }});
    link_count_.Set(static_cast<double>(links()));
  }
  up.link->set_gateway(local->feed->home());
  up.link->open() ? SendAdd(*local) : up.link->Tick();
}

void Topics::Join(const LocalPtr& local, uint64_t sequence) {
  const absl::Status joined = local->feed->Join(local->id, local->wish.pattern, local->sink);
  if (!joined.ok()) return Drop(local, joined);
  local->joined = true;
  local->verdict_due = absl::InfiniteFuture();
  local->sink->Ready(sequence);
}

void Topics::Drop(const LocalPtr& local, const absl::Status& why) {
  if (locals_.erase(local->id) == 0) return;
  local->place = nullptr;
  of_agents_.Set(static_cast<double>(locals_.size()));
  if (local->joined) local->feed->Leave(local->id, local->wish.pattern, true);
  local->feed->last_used = parts_.clock.Now();
  LeaveLink(*local);
  if (local->durable) {
    durables_.erase(local->durable->id().ToString());
    // From now on nobody follows it; what is here while the gateway is down comes to nobody.
    if (local->joined && drained_.ok()) local->sink->Miss({.cause = gateway::v1::MISSED_CAUSE_BROKEN_LINK});
  }
  local->sink->Finish(why);
}

void Topics::DropWhere(const std::function<bool(const Local&)>& matches, const absl::Status& why) {
  std::vector<LocalPtr> ending;
  for (const auto& [_, local] : locals_) {
    if (matches(*local)) ending.push_back(local);
  }
  for (const LocalPtr& local : ending) Drop(local, why);
}

void Topics::LeaveLink(Local& local) {
  if (!local.up) return;
  Up& up = up_[*std::exchange(local.up, std::nullopt)];
  --up.users;  // a link without any ends with the next tick
  trunk::v1::TopicsRequest request;
  request.mutable_remove()->set_id(local.id);
  up.link->Send(request);
}

void Topics::SendAdd(const Local& local) {
  trunk::v1::TopicsRequest request;
  trunk::v1::TopicsAdd& add = *request.mutable_add();
  add.set_id(local.id);
  add.set_message_json(local.json);
  add.set_subscriber_key(std::string(local.agent->key.bytes()));
  add.set_token(local.token);
  up_[*local.up].link->Send(request);
}

void Topics::Admit(const crypto::PublicKey& gateway, const trunk::v1::TopicsAdd& add,
                   std::function<void(absl::StatusOr<DownLink::Admission>)> done) {
  // One, and not what an agent pays who subscribes here: a link that comes back repeats thousands.
  const absl::Status admitted = parts_.admission.AdmitSender(gateway, add.subscriber_key(), call_cost::kOne);
  if (!admitted.ok()) return done(admitted);
  const auto key = crypto::PublicKey::FromBytes(add.subscriber_key());
  if (!key.ok()) return done(WithContext(key.status(), "subscriber_key"));
  auto wish = OpenSubscription(add.message_json(), add.token(), *key, kMaxSubscriptionAge);
  parts_.admission.NoteCheckedOf(gateway, *key, wish.status());
  if (!wish.ok()) return done(wish.status());
  const auto shared = std::make_shared<const Wish>(*std::move(wish));
  parts_.directory.Resolve(shared->message.sender(), false,
                           [this, shared, key = *key, token = add.token(),
                            done = std::move(done)](const absl::StatusOr<host::Resolution>& found) {
                             if (!found.ok()) return done(WithContext(found.status(), "cannot check the subscriber"));
                             if (found->record.public_key() != key) {
                               return done(ErrorWithReason(
                                   absl::StatusCode::kPermissionDenied, reason::kKeyMismatch,
                                   absl::StrCat(shared->message.sender().text(),
                                                " is held by another key than the one that signed the subscription")));
                             }
                             AdmitFor(shared, key, token, done);
                           });
}

void Topics::AdmitFor(const std::shared_ptr<const Wish>& wish, const crypto::PublicKey& key, const std::string& token,
                      std::function<void(absl::StatusOr<DownLink::Admission>)> done) {
  const auto feed = FeedOf(wish->message.recipient());
  if (!feed.ok()) return done(feed.status());
  Locate(*feed, kBelieved, [this, feed = *feed, wish, key, token, done = std::move(done)](const absl::Status& located) {
    if (!located.ok()) return done(WithContext(located, "publisher"));
    if (!feed->here()) return done(LivesElsewhere(feed->name()));
    parts_.guard.Check(wish->message, key, *feed->record(), token,
                       [this, feed, wish, key, done](const InboxGuard::Admitted& allowed) {
                         const absl::Status held = StillAllows(allowed);
                         if (!held.ok()) return done(held);
                         // It may have been revoked meanwhile.
                         if (parts_.is_revoked(key)) return done(Revoked(wish->message.sender()));
                         feed->last_used = parts_.clock.Now();
                         done(DownLink::Admission{feed, wish->pattern, *allowed});
                       });
  });
}

void Topics::Receive(const crypto::PublicKey& gateway, std::shared_ptr<Pipe> pipe) {
  if (!drained_.ok()) return pipe->Abort(drained_);
  if (const auto older = down_.find(gateway); older != down_.end()) {
    const auto link = older->second;
    link->Close(ErrorWithReason(absl::StatusCode::kAborted, reason::kSuperseded, "a newer link takes over"));
  }
  const auto link = std::make_shared<DownLink>(
      std::move(pipe), flusher_, parts_.limits.link_backlog,
      DownLink::Metrics{.delivered = to_gateways_, .missed = link_missed_, .subscriptions = of_gateways_},
      DownLink::Handlers{.admit = [this, gateway](const auto& add, auto done) { Admit(gateway, add, std::move(done)); },
                         .next_id = [this] { return ++last_id_; },
                         .ended =
                             [this, gateway] {
                               down_.erase(gateway);
                               link_count_.Set(static_cast<double>(links()));
                             }});
  down_.insert_or_assign(gateway, link);
  link_count_.Set(static_cast<double>(links()));
  link->Start();
}

void Topics::End(const crypto::PublicKey& key, const absl::Status& why) {
  DropWhere([&](const Local& local) { return local.agent->key == key; }, why);
  if (parts_.durable != nullptr && absl::IsPermissionDenied(why)) {  // also those that are not followed
    for (const DurableState& state : parts_.durable->List(&key)) parts_.durable->Remove(state.id, [](const auto&) {});
  }
  std::vector<std::shared_ptr<DownLink>> links;
  for (const auto& [_, link] : down_) links.push_back(link);
  for (const auto& link : links) link->End(key, why);
}

void Topics::EndUnlessHeld(const std::function<absl::Status(const capability::Token&)>& holds) {
  std::vector<std::pair<LocalPtr, absl::Status>> ending;
  for (const auto& [_, local] : locals_) {
    if (!local->allowed_by) continue;
    absl::Status held = holds(*local->allowed_by);
    if (!held.ok()) ending.emplace_back(local, std::move(held));
  }
  for (const auto& [local, why] : ending) Drop(local, why);
  std::vector<std::shared_ptr<DownLink>> links;
  for (const auto& [_, link] : down_) links.push_back(link);
  for (const auto& link : links) link->EndUnlessHeld(holds);
}

void Topics::EndRevoked() {
  EndUnlessHeld([this](const capability::Token& token) { return parts_.guard.StillHolds(token); });
}

void Topics::Drain(const absl::Status& why) {
  drained_ = why;
  DropWhere([](const Local&) { return true; }, why);
  for (const auto& [_, up] : up_) up.link->Close(why);
  up_.clear();
  while (!down_.empty()) {
    const auto link = down_.begin()->second;
    link->Close(why);  // and erases it
  }
}

}  // namespace dotagent::gateway_service
