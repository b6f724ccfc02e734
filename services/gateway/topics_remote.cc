// Topics, continued: publishers who live elsewhere, and what time brings.
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/refusal.h"
#include "common/telemetry/log.h"
#include "services/gateway/topics.h"

namespace dotagent::gateway_service {
namespace {

constexpr absl::Duration kMoved = absl::Minutes(1);  // how often a publisher is looked for
constexpr absl::Duration kStray = absl::Seconds(5);
constexpr absl::Duration kTokenCheckInterval = absl::Seconds(5);  // that none has come to its end
constexpr absl::Duration kForgotten = absl::Minutes(10);          // a publisher who publishes nothing to nobody
constexpr size_t kMaxLookups = 200;                               // a tick

absl::Status Unreachable(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable, message);
}

absl::Status Broken(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, message);
}

// What was published from `after` on, up to `upto`.
Gap Between(gateway::v1::MissedCause cause, uint64_t after, uint64_t upto) {
  return {.cause = cause, .count = upto - after, .first = after + 1, .last = upto};
}

}  // namespace

void Topics::OnLinkOpened(const crypto::PublicKey& gateway) {
  for (const auto& [_, local] : locals_) {
    if (local->up == gateway) SendAdd(*local);
  }
}

void Topics::Interrupt(const crypto::PublicKey& gateway) {
  for (const auto& [_, feed] : feeds_) {
    if (feed->home().key == gateway) feed->live = false;
  }
}

// Who is served stays, and is told of the gap when the link is back; who was waiting hears of it now.
void Topics::OnLinkBroken(const crypto::PublicKey& gateway, const absl::Status& why) {
  telemetry::Log(telemetry::Level::kInfo, "a link for topics is down; dialling again", {{"why", why.ToString()}});
  Interrupt(gateway);
  DropWhere([&](const Local& local) { return !local.joined && local.up == gateway; },
            ForAgents(why, "the publisher's gateway"));
}

void Topics::OnLinkEvent(const crypto::PublicKey& gateway, const trunk::v1::TopicsEvent& event, Next next) {
  switch (event.event_case()) {
    case trunk::v1::TopicsEvent::kVerdict:
      return next(OnVerdict(gateway, event.verdict()));
    case trunk::v1::TopicsEvent::kPublication:
      return OnPublication(gateway, event.publication(), std::move(next));
    case trunk::v1::TopicsEvent::kMissed:
      return next(OnMissed(gateway, event.missed()));
    case trunk::v1::TopicsEvent::EVENT_NOT_SET:
      return next(absl::OkStatus());  // a heartbeat
  }
}

absl::Status Topics::OnVerdict(const crypto::PublicKey& gateway, const trunk::v1::TopicsVerdict& verdict) {
  const auto found = locals_.find(verdict.id());
  if (found == locals_.end() || found->second->up != gateway) return absl::OkStatus();  // ended meanwhile
  const LocalPtr local = found->second;
  if (verdict.code() == 0) return OnConfirmed(local, verdict);
  const absl::Status refused = rpc::ReadRefusal(verdict);
  if (local->joined && ReasonOf(refused) == reason::kBadAddress) {
    local->stray = true;  // the publisher has moved: it will be found
  } else {
    Drop(local, WithContext(refused, "the publisher's gateway"));
  }
  return absl::OkStatus();
}

absl::Status Topics::OnConfirmed(const LocalPtr& local, const trunk::v1::TopicsVerdict& verdict) {
  TopicFeed& feed = *local->feed;
  up_[*local->up].link->Proved();
  const bool restarted = verdict.epoch() != feed.epoch() || verdict.sequence() < feed.sequence();
  if (!feed.live) {
    // The first one since the link was opened: what came in between reached nobody here.
    if (restarted) {
      feed.Miss({.cause = gateway::v1::MISSED_CAUSE_RESTART});
    } else if (verdict.sequence() > feed.sequence()) {
      feed.Miss(Between(gateway::v1::MISSED_CAUSE_BROKEN_LINK, feed.sequence(), verdict.sequence()));
    }
    feed.set_numbers(verdict.epoch(), verdict.sequence());
    feed.live = true;
    feed.live_from = verdict.sequence();
  } else if (verdict.epoch() != feed.epoch()) {
    return Broken("a publisher's numbers began anew on an open link");
  } else if (local->joined && verdict.sequence() > feed.live_from) {
    local->sink->Miss(Between(gateway::v1::MISSED_CAUSE_BROKEN_LINK, feed.live_from, verdict.sequence()));
  }
  if (!local->joined) Join(local, verdict.sequence());
  return absl::OkStatus();
}

Topics::FeedPtr Topics::FeedBehind(const crypto::PublicKey& gateway, const std::string& publisher) const {
  const auto found = feeds_.find(publisher);
  if (found == feeds_.end()) return nullptr;
  const FeedPtr& feed = found->second;
  return feed->live && !feed->here() && feed->home().key == gateway ? feed : nullptr;
}

absl::Status Topics::OnMissed(const crypto::PublicKey& gateway, const trunk::v1::TopicsMissed& missed) {
  const FeedPtr feed = FeedBehind(gateway, missed.publisher());
  if (feed == nullptr) return absl::OkStatus();
  const Gap gap{.cause = gateway::v1::MISSED_CAUSE_SLOW_LINK,
                .count = missed.count(),
                .first = missed.first_sequence(),
                .last = missed.last_sequence()};
  if (gap.count == 0 || gap.first <= feed->sequence() || gap.last < gap.first || gap.count > gap.last - gap.first + 1) {
    return Broken("the numbers of missed publications make no sense");
  }
  feed->set_numbers(feed->epoch(), gap.last);
  feed->Miss(gap);
  return absl::OkStatus();
}

absl::Status Topics::CountForgery(const crypto::PublicKey& gateway, const absl::Status& why) {
  forged_.Increment();
  telemetry::Log(telemetry::Level::kWarning, "a gateway sent a publication that does not verify",
                 {{"why", why.ToString()}});
  const auto up = up_.find(gateway);
  return up == up_.end() || ++up->second.forgeries < kMaxForgeries ? absl::OkStatus() : why;
}

void Topics::OnPublication(const crypto::PublicKey& gateway, const trunk::v1::TopicsPublication& publication,
                           Next next) {
  const auto key = crypto::PublicKey::FromBytes(publication.sender_key());
  if (!key.ok()) return next(CountForgery(gateway, key.status()));
  const auto draft = OpenPublication(publication.message_json(), *key);
  if (!draft.ok()) return next(CountForgery(gateway, draft.status()));
  const FeedPtr feed = FeedBehind(gateway, (*draft)->message.sender().text());
  if (feed == nullptr) return next(absl::OkStatus());  // nobody subscribes any more
  const uint64_t sequence = publication.sequence();
  if (sequence <= feed->sequence()) return next(Broken("publications come out of order, or twice"));
  CheckPublisher(feed, *key, false,
                 [this, gateway, feed, sequence, draft = *draft, next = std::move(next)](const absl::Status& checked) {
                   if (FeedBehind(gateway, feed->name().text()) != feed) return next(absl::OkStatus());
                   feed->set_numbers(feed->epoch(), sequence);
                   if (absl::IsUnavailable(checked) || absl::IsDeadlineExceeded(checked)) {
                     feed->Miss(Between(gateway::v1::MISSED_CAUSE_BROKEN_LINK, sequence - 1, sequence));
                     return next(absl::OkStatus());
                   }
                   if (!checked.ok()) return next(CountForgery(gateway, checked));
                   if (!feed->recent_ids.Add(draft->message.id())) {
                     duplicates_.Increment();
                     return next(absl::OkStatus());
                   }
                   if (const auto up = up_.find(gateway); up != up_.end()) up->second.forgeries = 0;
                   accepted_.Increment();
                   feed->Distribute(draft->topic, SharePublication(sequence, draft->message.json(), draft->key, false));
                   next(absl::OkStatus());
                 });
}

// Publishers move: their subscribers here follow, and those of other gateways are told to.
void Topics::LookForMoved(const FeedPtr& feed, absl::Duration max_age, bool again) {
  Locate(feed, max_age, [this, feed, again](const absl::Status& located) {
    if (!located.ok()) return;
    if (!feed->here() && feed->has_gateways()) {
      std::vector<std::shared_ptr<DownLink>> links;
      for (const auto& [_, link] : down_) links.push_back(link);
      for (const auto& link : links) {
        link->End(*feed, ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kBadAddress,
                                         absl::StrCat(feed->name().text(), " has moved to another gateway")));
      }
    }
    // At other addresses, maybe.
    if (const auto up = up_.find(*feed->home().key); up != up_.end()) up->second.link->set_gateway(feed->home());
    if (feed->followed == feed->home().key && !again) return;
    feed->followed = feed->home().key;
    feed->live = false;
    std::vector<LocalPtr> moved;
    for (const auto& [_, local] : locals_) {
      if (local->feed == feed && local->joined) moved.push_back(local);
    }
    for (const LocalPtr& local : moved) {
      LeaveLink(*local);
      Place(local);
    }
  });
}

void Topics::TickFeeds(absl::Time now) {
  std::vector<FeedPtr> due;
  for (auto next = feeds_.begin(); next != feeds_.end();) {
    const auto known = next++;
    const FeedPtr& feed = known->second;
    if (feed.use_count() == 1) {
      // Nobody subscribes or waits. The numbers of who publishes here are kept for a while.
      const bool numbered = feed->here() && feed->sequence() > 0;
      if (!numbered || now - feed->last_used >= kForgotten) feeds_.erase(known);
    } else if (feed->has_members() && !feed->locating() && due.size() < kMaxLookups) {
      // Whose gateway is not reached may have moved just now.
      const bool lost = !feed->here() && !feed->live;
      if (now - feed->located() >= (lost ? kStray : kMoved)) due.push_back(feed);
    }
  }
  for (const FeedPtr& feed : due) LookForMoved(feed, kStray, false);
}

void Topics::TickLocals(absl::Time now) {
  DropWhere([&](const Local& local) { return !local.joined && local.verdict_due <= now; },
            Unreachable("the publisher's gateway does not answer; try again later"));
  absl::flat_hash_set<FeedPtr> strays;
  for (const auto& [_, local] : locals_) {
    const bool due = !local->feed->locating() && now - local->feed->located() >= kStray;
    if (local->stray && due) strays.insert(local->feed);
  }
  for (const FeedPtr& feed : strays) LookForMoved(feed, kStray, true);
}

void Topics::TickTokens(absl::Time now) {
  if (now < next_token_check_) return;
  next_token_check_ = now + kTokenCheckInterval;
  EndUnlessHeld([now](const capability::Token& token) { return InboxGuard::InTime(token, now); });
}

void Topics::TickLinks(absl::Time now) {
  std::vector<std::shared_ptr<DownLink>> down;
  for (const auto& [_, link] : down_) down.push_back(link);
  for (const auto& link : down) link->Tick(now);
  std::vector<std::shared_ptr<UpLink>> up;
  for (auto next = up_.begin(); next != up_.end();) {
    const auto known = next++;
    if (known->second.users > 0) {
      up.push_back(known->second.link);
      continue;
    }
    known->second.link->Close(absl::CancelledError("nobody subscribes any more"));
    Interrupt(known->first);
    up_.erase(known);
  }
  for (const auto& link : up) link->Tick();
  link_count_.Set(static_cast<double>(links()));
}

void Topics::Tick() {
  const absl::Time now = parts_.clock.Now();
  TickFeeds(now);
  TickLocals(now);
  TickTokens(now);
  TickLinks(now);
  TickDurables(now);
}

}  // namespace dotagent::gateway_service
