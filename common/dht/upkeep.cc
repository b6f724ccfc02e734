#include "common/dht/upkeep.h"

#include <algorithm>
#include <utility>

#include "common/dht/query.h"
#include "common/dht/replicate.h"
#include "common/dht/revocation_value.h"
#include "common/dht/table_codec.h"

namespace dotagent::dht {
namespace {
constexpr absl::string_view kWalkKey = "dht/walk";
constexpr size_t kPageSize = 64;
// After a start; by then the node knows who is near its values.
constexpr absl::Duration kResumeAfter = absl::Minutes(1);
// A random point's neighbours are of no use for themselves: the way there fills the bucket.
constexpr size_t kRefreshWidth = 4;
constexpr size_t kSizedBuckets = 3;
constexpr absl::Duration kSizeWatch = absl::Minutes(1);
constexpr size_t kClaimsPerTick = 10'000;
constexpr absl::Duration kNeighbourhoodAge = absl::Minutes(1);
}  // namespace

absl::Duration Upkeep::Jittered(absl::Duration interval) {
  return interval * (0.9 + static_cast<double>(peers_->random().Below(200)) / 1000);
}

void Upkeep::Start() {
  ScheduleRefresh();
  WatchSize(kSizeWatch);
  ResumeWalk();
}

void Upkeep::ScheduleRefresh() {
  // Ten times an interval, so that a bucket waits little longer than its interval.
  peers_->RunAfter(Jittered(refresh_interval_ / 10), lifeline_.Guard([this] {
    Refresh(StaleBuckets(stretch_ ? stretch_() : 1), Passing::kNone);
    ScheduleRefresh();
  }));
}

void Upkeep::WatchSize(absl::Duration pause) {
  peers_->RunAfter(Jittered(pause), lifeline_.Guard([this, pause] {
    if (!peers_->SizeInDoubt()) return WatchSize(kSizeWatch);
    peers_->RenewSize();
    SampleSize(kSizedBuckets);
    // A neighbourhood may be odd for good.
    WatchSize(std::min(2 * pause, refresh_interval_));
  }));
}

void Upkeep::SampleSize(size_t left) {
  if (left == 0 || (left < kSizedBuckets && !peers_->SizeInDoubt())) return;
  const Id target = peers_->table().RandomIdIn(left - 1, peers_->random());
  FindNodes(peers_, target, lifeline_.Guard([this, target, left](const QueryResult& found) {
    peers_->NoteLookup(target, found.nearest);
    SampleSize(left - 1);
  }));
}

std::vector<size_t> Upkeep::StaleBuckets(double stretch) const {
  return peers_->table().StaleBuckets(stretch * refresh_interval_, peers_->clock().Elapsed());
}

void Upkeep::Refresh(std::vector<size_t> buckets, Passing passing) {
  if (passing == Passing::kFull) {
    while (!buckets.empty() && peers_->table().IsFull(buckets.back())) buckets.pop_back();
  }
  if (buckets.empty()) return;
  const size_t bucket = buckets.back();
  buckets.pop_back();
  const Id target = peers_->table().RefreshTarget(bucket, peers_->random());
  FindNodes(peers_, target,
            lifeline_.Guard([this, target, passing, rest = std::move(buckets)](const QueryResult& found) {
              // Our own neighbourhood is part of the reckoning already.
              if (target != peers_->self().id) peers_->NoteLookup(target, found.nearest);
              Refresh(rest, passing);
            }),
            EffortFor(target, bucket, passing));
}

Effort Upkeep::EffortFor(const Id& target, size_t bucket, Passing passing) {
  if (target == peers_->self().id) return {.paths = kConcurrency, .wanted = kBucketSize};
  // The first buckets cover nearly everything: what is found there tells the size of the network as well, if it is
  // looked for with care, at the price of eight lookups that only fill a bucket. A newcomer takes two samples, and a
  // third where they differ from its neighbourhood.
  const bool sizing = passing == Passing::kNone || bucket == 0 || peers_->SizeInDoubt();
  if (bucket < kSizedBuckets && sizing) return {};
  return {.paths = kConcurrency, .wanted = kRefreshWidth};
}

void Upkeep::ResumeWalk() {
  const absl::StatusOr<std::string> saved = store_->Get(kWalkKey);
  // Nothing saved, or a disk that fails: as if a walk had just ended.
  if (!saved.ok() || saved->size() < kTimeSize) return ScheduleWalk(republish_interval_);
  absl::string_view rest = *saved;
  const absl::Time ended = TakeTime(&rest);
  cursor_ = std::string(rest);
  const absl::Duration left = cursor_.empty() ? ended + republish_interval_ - peers_->clock().Now() : kResumeAfter;
  ScheduleWalk(std::clamp(left, std::min(kResumeAfter, republish_interval_), republish_interval_));
}

void Upkeep::SaveWalk() {
  std::string place;
  AppendTime(peers_->clock().Now(), &place);
  place += cursor_;
  // Only spares work at the next start, so a disk that fails may.
  store_->Put(kWalkKey, place, storage::Durability::kBuffered).IgnoreError();
}

void Upkeep::ScheduleWalk(absl::Duration pause) {
  peers_->RunAfter(Jittered(pause), lifeline_.Guard([this] {
    SweepClaims();
    WalkOn();
  }));
}

void Upkeep::SweepClaims() {
  const absl::StatusOr<std::string> next =
      values_->claims().Sweep(claims_cursor_, kClaimsPerTick, peers_->clock().Now());
  claims_cursor_ = next.ok() ? *next : "";
}

void Upkeep::WalkOn() {
  const absl::Time now = peers_->clock().Now();
  while (!page_.empty()) {
    const HeldValue held = std::move(page_.back());
    page_.pop_back();
    if (held.value.expires > now && now - held.received >= republish_interval_ / 2) return Copy(held.value);
  }
  if (last_page_) {
    last_page_ = false;
    cursor_.clear();
    SaveWalk();
    return ScheduleWalk(republish_interval_);
  }
  SaveWalk();
  absl::StatusOr<ValueStore::Page> page = values_->Sweep(cursor_, kPageSize, now);
  // A disk that fails now may work at the next walk.
  if (!page.ok()) page = ValueStore::Page();
  page_ = std::move(page->values);
  cursor_ = std::move(page->next);
  last_page_ = cursor_.empty();
  // Not at once: a page without work to do must not keep other work waiting.
  peers_->RunAfter(absl::ZeroDuration(), lifeline_.Guard([this] { WalkOn(); }));
}

void Upkeep::Copy(const Value& value) {
  const auto find_and_copy = [this, value] {
    if (values_->types().Of(value.kind).many_owners()) return CopyAmongOthers(value);
    FindValue(peers_, values_, value.key, value.kind, Thoroughness::kAll,
              lifeline_.Guard([this, value](const QueryResult& found) { CopyBest(value, found); }));
  };
  if (values_->types().Of(value.kind).revokes_owner()) return find_and_copy();
  const auto unless_revoked = [this, signer = value.signer, find_and_copy](const QueryResult& revocation) {
    // A disk that fails leaves the value until the next walk.
    if (revocation.value) Keep(revocation.value->value);
    if (values_->IsRevoked(signer)) return WalkOn();
    find_and_copy();
  };
  FindValue(peers_, values_, RevocationValue::KeyFor(value.signer), ValueKind::kRevocation, Thoroughness::kEnough,
            lifeline_.Guard(unless_revoked));
}

void Upkeep::Keep(const Value& value) {
  values_->Store(value, ValueStore::Keep::kValue, peers_->self().key, peers_->clock().Now()).IgnoreError();
}

void Upkeep::CopyBest(const Value& held, const QueryResult& found) {
  const Value& best = found.value ? found.value->value : held;
  // Another owner's wins: ours is not pushed on others; it stays until it expires.
  if (best.owner != held.owner) return WalkOn();
  // Ours may be old: this node may have been down when it was replaced.
  if (best.item != held.item) Keep(best);
  CopyTo(best, found.nearest, values_->types().SlotOf(held));
}

void Upkeep::CopyAmongOthers(const Value& value) {
  const absl::Duration now = peers_->clock().Elapsed();
  const Slot slot = values_->types().SlotOf(value);
  if (neighbourhood_.key == value.key && now - neighbourhood_.found < kNeighbourhoodAge) {
    return CopyTo(value, neighbourhood_.nearest, slot);
  }
  FindNodes(peers_, value.key, lifeline_.Guard([this, value, slot](const QueryResult& found) {
    neighbourhood_ = {value.key, found.nearest, peers_->clock().Elapsed()};
    CopyTo(value, found.nearest, slot);
  }),
            {.paths = peers_->paths(), .wanted = kBucketSize});
}

void Upkeep::CopyTo(const Value& value, const std::vector<Contact>& nearest, const Slot& slot) {
  Replicate(peers_, values_, value, nearest, lifeline_.Guard([this, slot](const ReplicateResult&) {
    values_->Touch(slot, peers_->clock().Now());
    WalkOn();
  }));
}

}  // namespace dotagent::dht
