// Topics' part for durable subscriptions: they are followed from the gateway's start on, whether or not a Subscribe
// call for them is open.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/record/canonical_json.h"
#include "common/telemetry/log.h"
#include "services/gateway/holder_check.h"
#include "services/gateway/topics.h"

namespace dotagent::gateway_service {
namespace {

constexpr absl::Duration kBelieved = absl::Minutes(1);     // where a publisher lives
constexpr absl::Duration kTouchInterval = absl::Hours(1);  // of those that are open

absl::Status NoneHere() {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kVersion,
                         "this gateway keeps no durable subscriptions");
}

}  // namespace

absl::StatusOr<Topics::Target> Topics::TargetOf(const gateway::v1::SubscribeRequest& request) {
  ASSIGN_OR_RETURN(const record::Json message, record::ParseStrictJson(request.message_json()));
  const auto text_at = [&message](const char* path) {
    const record::Json::json_pointer pointer(path);
    const bool there = message.contains(pointer) && message[pointer].is_string();
    return there ? message[pointer].get<std::string>() : std::string();
  };
  ASSIGN_OR_RETURN(record::Name publisher, record::Name::Parse(text_at("/recipient")));
  ASSIGN_OR_RETURN(record::TopicPattern pattern, record::TopicPattern::Parse(text_at("/content/topic")));
  return Target{std::move(publisher), std::move(pattern)};
}

absl::Status Topics::FitsDurable(const DurableId& id, const Wish& wish) const {
  const gateway::v1::SubscribeRequest* stored = parts_.durable->Request(id);
  if (stored == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Target kept, TargetOf(*stored));
  if (kept.publisher == wish.message.recipient() && kept.pattern == wish.pattern) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kBadMessage,
                         absl::StrCat("the durable subscription ", id.name, " is to ", kept.pattern.text(), " of ",
                                      kept.publisher.text(), "; take another name, or end that one"));
}

void Topics::SubscribeDurable(const std::shared_ptr<Agent>& agent, const gateway::v1::SubscribeRequest& request,
                              Wish wish, const std::shared_ptr<EventStream>& stream) {
  if (parts_.durable == nullptr) return stream->Finish(NoneHere());
  const auto id = DurableId::Make(wish.message.sender(), agent->key, request.durable_name());
  if (!id.ok()) return stream->Finish(id.status());
  if (const absl::Status fits = FitsDurable(*id, wish); !fits.ok()) return stream->Finish(fits);
  const auto shared = std::make_shared<const Wish>(std::move(wish));
  CheckHolder(parts_.directory, parts_.clock, agent, shared->message.sender(),
              [this, agent, request, shared, id = *id, stream](const absl::Status& holds) {
                if (!holds.ok()) return stream->Finish(WithContext(holds, "subscriber"));
                const auto known = durables_.find(id.ToString());
                if (known == durables_.end()) return FollowDurable(agent, request, *shared, id, stream);
                const LocalPtr local = known->second;
                local->wish = *shared;
                local->json = request.message_json();
                local->token = request.token();
                local->durable->Renew(request);
                local->durable->Attach(stream);
              });
}

void Topics::FollowDurable(const std::shared_ptr<Agent>& agent, const gateway::v1::SubscribeRequest& request,
                           const Wish& wish, const DurableId& id, const std::shared_ptr<EventStream>& stream) {
  if (const absl::Status can = CanSubscribe(agent->key); !can.ok()) return stream->Finish(can);
  const auto local = AddDurable(agent, request, wish, id, parts_.durable->Has(id));
  if (!local.ok()) return stream->Finish(local.status());
  (*local)->durable->Attach(stream);
  Locate((*local)->feed, kBelieved, [this, local = *local](const absl::Status& located) {
    if (!located.ok()) return Drop(local, WithContext(located, "publisher"));
    Place(local);
  });
}

absl::StatusOr<Topics::LocalPtr> Topics::AddDurable(const std::shared_ptr<Agent>& agent,
                                                    const gateway::v1::SubscribeRequest& request, const Wish& wish,
                                                    const DurableId& id, bool made) {
  ASSIGN_OR_RETURN(FeedPtr feed, FeedOf(wish.message.recipient()));
  const auto local = std::make_shared<Local>(Local{.id = ++last_id_,
                                                   .agent = agent,
                                                   .place = locals_of_agent_.Take(agent->key.bytes()),
                                                   .wish = wish,
                                                   .json = request.message_json(),
                                                   .token = request.token(),
                                                   .feed = std::move(feed)});
  local->durable =
      std::make_shared<DurableTopic>(id, request, made, *parts_.durable, parts_.clock, subscriber_metrics_);
  local->sink = local->durable;
  locals_.emplace(local->id, local);
  of_agents_.Set(static_cast<double>(locals_.size()));
  durables_.insert_or_assign(id.ToString(), local);
  return local;
}

// What is published here is kept from the first publication on. Where the publisher lives is looked for with the next
// tick, again and again, as for subscribers whose link is broken.
void Topics::RestoreDurables() {
  if (parts_.durable == nullptr) return;
  for (const DurableState& state : parts_.durable->List(nullptr)) {
    const auto wish =
        OpenSubscription(state.request.message_json(), state.request.token(), state.id.key, absl::InfiniteDuration());
    absl::Status restored = wish.status();
    if (wish.ok()) {
      auto agent = std::make_shared<Agent>();
      agent->key = state.id.key;
      const auto local = AddDurable(agent, state.request, *wish, state.id, true);
      restored = local.status();
      if (local.ok()) {
        (*local)->restored = true;
        Join(*local, (*local)->feed->sequence());
      }
    }
    if (restored.ok()) continue;
    telemetry::Log(telemetry::Level::kWarning, "a durable subscription is not followed until its subscriber comes",
                   {{"subscription", state.id.ToString()}, {"why", restored.ToString()}});
  }
}

void Topics::AckPublications(const Agent& agent, const gateway::v1::AckPublicationsRequest& request,
                             const std::function<void(absl::Status)>& done) {
  const auto id = DurableIdOf(agent, request.name(), request.durable_name());
  if (!id.ok()) return done(id.status());
  const auto known = durables_.find(id->ToString());
  done(known == durables_.end() ? parts_.durable->Ack(*id, request.cursor(), 0)
                                : known->second->durable->Ack(request.cursor()));
}

gateway::v1::ListSubscriptionsResponse Topics::ListSubscriptions(const Agent& agent) const {
  gateway::v1::ListSubscriptionsResponse response;
  if (parts_.durable == nullptr) return response;
  for (const DurableState& state : parts_.durable->List(&agent.key)) {
    gateway::v1::DurableSubscription& listed = *response.add_subscriptions();
    listed.set_name(state.id.subscriber.text());
    listed.set_durable_name(state.id.name);
    if (const auto target = TargetOf(state.request); target.ok()) {
      listed.set_publisher(target->publisher.text());
      listed.set_pattern(target->pattern.text());
    }
    listed.set_waiting(state.waiting);
    listed.set_waiting_bytes(state.bytes);
    listed.set_not_kept(state.lost);
    const auto known = durables_.find(state.id.ToString());
    listed.set_open(known != durables_.end() && known->second->durable->open());
    listed.set_last_used_ms(absl::ToUnixMillis(state.last_used));
  }
  return response;
}

void Topics::Unsubscribe(const Agent& agent, const gateway::v1::UnsubscribeRequest& request,
                         const std::function<void(absl::Status)>& done) {
  const auto id = DurableIdOf(agent, request.name(), request.durable_name());
  if (!id.ok()) return done(id.status());
  const auto known = durables_.find(id->ToString());
  if (known != durables_.end()) {
    const LocalPtr local = known->second;
    Drop(local, absl::CancelledError("the durable subscription was ended"));
  }
  parts_.durable->Remove(*id, done);
}

absl::StatusOr<DurableId> Topics::DurableIdOf(const Agent& agent, const std::string& name,
                                              const std::string& durable_name) const {
  if (parts_.durable == nullptr) return NoneHere();
  ASSIGN_OR_RETURN(const record::Name subscriber, record::Name::Parse(name));
  return DurableId::Make(subscriber, agent.key, durable_name);
}

void Topics::TickDurables(absl::Time now) {
  if (parts_.durable == nullptr) return;
  static_cast<void>(parts_.durable->Expire(now));  // what is left is for the next tick
  const bool touch = now >= next_touch_;
  if (touch) next_touch_ = now + kTouchInterval;
  std::vector<LocalPtr> lapsed;
  for (const auto& [_, local] : durables_) {
    if (touch && local->durable->open()) parts_.durable->Touch(local->durable->id(), now);
    if (local->joined && !parts_.durable->Has(local->durable->id())) lapsed.push_back(local);
  }
  for (const LocalPtr& local : lapsed) Drop(local, absl::CancelledError("nobody has come for it for too long"));
}

}  // namespace dotagent::gateway_service
