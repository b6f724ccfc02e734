#include "common/dht/upkeep.h"

#include <utility>

#include "common/dht/query.h"
#include "common/dht/replicate.h"
#include "common/dht/revocation_value.h"

namespace dotagent::dht {
namespace {
constexpr size_t kPageSize = 64;
constexpr size_t kClaimsPerTick = 10'000;
}  // namespace

absl::Duration Upkeep::Jittered(absl::Duration interval) {
  return interval * (0.9 + static_cast<double>(peers_->random().Below(200)) / 1000);
}

void Upkeep::Start() {
  ScheduleRefresh();
  ScheduleWalk();
}

void Upkeep::ScheduleRefresh() {
  // Ten times an interval, so that a bucket waits little longer than its interval.
  peers_->RunAfter(Jittered(refresh_interval_ / 10), lifeline_.Guard([this] {
    RefreshBuckets(peers_->table().StaleBuckets(refresh_interval_, peers_->clock().Elapsed()));
    ScheduleRefresh();
  }));
}

void Upkeep::RefreshBuckets(std::vector<size_t> buckets) {
  if (buckets.empty()) return;
  const size_t bucket = buckets.back();
  buckets.pop_back();
  FindNodes(peers_, peers_->table().RandomIdIn(bucket, peers_->random()),
            lifeline_.Guard([this, rest = std::move(buckets)](const QueryResult&) { RefreshBuckets(rest); }));
}

void Upkeep::ScheduleWalk() {
  peers_->RunAfter(Jittered(republish_interval_), lifeline_.Guard([this] {
    SweepClaims();
    WalkOn();
  }));
}

void Upkeep::SweepClaims() {
  const absl::StatusOr<std::string> next = values_->SweepClaims(claims_cursor_, kClaimsPerTick, peers_->clock().Now());
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
    return ScheduleWalk();
  }
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
  const auto copy = [this, value](const QueryResult& found) {
    Replicate(peers_, values_, value, found.nearest, lifeline_.Guard([this, value](const ReplicateResult&) {
      values_->Touch(value.kind, value.key, peers_->clock().Now());
      WalkOn();
    }));
  };
  const auto check_revoked = [this, value, copy](const QueryResult& revocation) {
    // A disk that fails leaves the record until the next walk.
    if (revocation.value) values_->Store(revocation.value->value, peers_->clock().Now()).IgnoreError();
    if (values_->IsRevoked(value.owner)) return WalkOn();
    FindNodes(peers_, value.key, lifeline_.Guard(copy));
  };
  const absl::StatusOr<Id> revocation_key = RevocationValue::KeyFor(value.owner);
  if (value.revokes_owner || value.kind == ValueKind::kRevocation || !revocation_key.ok()) {
    FindNodes(peers_, value.key, lifeline_.Guard(copy));
    return;
  }
  FindValue(peers_, values_, *revocation_key, ValueKind::kRevocation, Thoroughness::kEnough,
            lifeline_.Guard(check_revoked));
}

}  // namespace dotagent::dht
