#include "common/dht/handover.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/dht/verdict.h"

namespace dotagent::dht {
namespace {

constexpr size_t kPageSize = 64;
// Who of the nodes nearest to a value acts.
constexpr size_t kActing = 2;

void Ignore(const absl::StatusOr<Response>& /*response*/) {}

}  // namespace

void Handover::Start() { ScheduleLook(); }

void Handover::ScheduleLook() {
  const double jitter = 0.9 + static_cast<double>(peers_->random().Below(200)) / 1000;
  peers_->RunAfter(kGather * jitter, lifeline_.Guard([this] {
    Look();
    ScheduleLook();
  }));
}

void Handover::Look() {
  const absl::Duration now = peers_->clock().Elapsed();
  std::map<Id, absl::Duration> siblings;
  for (const Contact& sibling : peers_->table().Nearest(peers_->self().id, kWitnesses, RoutingTable::Which::kAll)) {
    const auto known = siblings_.find(sibling.id);
    absl::Duration pinged = known == siblings_.end() ? now : known->second;
    if (now - pinged >= kSiblingPing) {
      pinged = now;
      peers_->Ping(sibling, [](bool) {});
    }
    siblings.emplace(sibling.id, pinged);
    // At the first look after the start, no one is a newcomer but this node.
    if (known == siblings_.end() && !siblings_.empty()) gathered_.came.insert(sibling.id);
  }
  gathered_.some_left |= std::any_of(siblings_.begin(), siblings_.end(),
                                     [this](const auto& sibling) { return !peers_->table().Find(sibling.first); });
  siblings_ = std::move(siblings);
  if (walking_ || (gathered_.came.empty() && !gathered_.some_left)) return;
  walking_ = true;
  mending_ = std::exchange(gathered_, {});
  cursor_.clear();
  WalkOn();
}

void Handover::WalkOn() {
  const absl::StatusOr<ValueStore::Page> page = values_->Sweep(cursor_, kPageSize, peers_->clock().Now());
  // A disk that fails leaves the work to the hourly walk.
  if (page.ok()) {
    for (const HeldValue& held : page->values) Mend(held.value);
    cursor_ = page->next;
  }
  if (!page.ok() || cursor_.empty()) {
    walking_ = false;
    return;
  }
  // Not at once: other work must not wait for the whole of a large store.
  peers_->RunAfter(absl::ZeroDuration(), lifeline_.Guard([this] { WalkOn(); }));
}

void Handover::Mend(const Value& value) {
  std::vector<Contact> nearest = peers_->table().Nearest(value.key, kWitnesses - 1, RoutingTable::Which::kAnswering);
  const Id own = value.key.DistanceTo(peers_->self().id);
  // Newcomers do not know of the value yet, so they do not count.
  const auto before = std::count_if(nearest.begin(), nearest.end(), [&](const Contact& contact) {
    return !mending_.came.contains(contact.id) && value.key.DistanceTo(contact.id) < own;
  });
  if (static_cast<size_t>(before) >= kActing) return;
  nearest.push_back(peers_->self());
  std::sort(nearest.begin(), nearest.end(), [&](const Contact& a, const Contact& b) {
    return value.key.DistanceTo(a.id) < value.key.DistanceTo(b.id);
  });
  const bool witnessed = values_->types().Of(value.kind).first_claim();
  for (size_t i = 0; i < nearest.size(); ++i) {
    const bool keeps = i < kReplicationFactor;
    const bool moved_up = mending_.some_left && (i + 1 == kReplicationFactor || i + 1 == kWitnesses);
    if (nearest[i].id == peers_->self().id || (!keeps && !witnessed)) continue;
    if (!moved_up && !mending_.came.contains(nearest[i].id)) continue;
    peers_->Ask(nearest[i], StoreCall{value.key, value.kind, value.item, !keeps}, Ignore);
  }
}

}  // namespace dotagent::dht
