#include "common/dht/routing_table.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/container/inlined_vector.h"

namespace dotagent::dht {
namespace {

template <typename Nodes>
auto FindById(Nodes& nodes, const Id& id) {
  return std::find_if(nodes.begin(), nodes.end(), [&](const auto& node) { return node.id == id; });
}

// Nodes that a bucket makes room for at once: doubling would leave a third of a table's memory empty.
constexpr size_t kGrowth = 4;

template <typename Nodes>
void Append(Nodes& nodes, typename Nodes::value_type node, size_t growth = kGrowth) {
  if (nodes.size() == nodes.capacity()) nodes.reserve(nodes.size() + growth);
  nodes.push_back(std::move(node));
}

// What a table keeps of a contact's addresses.
AddressList Acceptable(const AddressList& addresses) {
  const auto fits = [](absl::string_view address) { return !address.empty() && address.size() <= kMaxAddressSize; };
  if (addresses.size() <= kMaxContactAddresses && std::all_of(addresses.begin(), addresses.end(), fits)) {
    return addresses;
  }
  std::vector<absl::string_view> kept;
  for (const absl::string_view address : addresses) {
    if (fits(address) && kept.size() < kMaxContactAddresses) kept.push_back(address);
  }
  return AddressList(kept);
}

bool BitOf(const Id& id, size_t index) {
  return (static_cast<uint8_t>(id.bytes()[index / 8]) >> (7 - index % 8) & 1) != 0;
}

// As Node::round_trip_us holds it: 1 µs to 16 s; 0 for what is longer, or infinite.
constexpr uint32_t kMaxRoundTripUs = (uint32_t{1} << 24) - 1;
constexpr uint64_t kMaxSeenMs = (uint64_t{1} << 38) - 1;
constexpr uint64_t kMaxEnteredS = (uint64_t{1} << 30) - 1;
uint32_t TimedUs(absl::Duration round_trip) {
  if (round_trip > absl::Microseconds(kMaxRoundTripUs)) return 0;
  return static_cast<uint32_t>(std::max<int64_t>(1, absl::ToInt64Microseconds(round_trip)));
}

// A node is about to be read: in a process of many tables its lines are in no cache, and come while others are sorted.
template <typename Node>
void Prefetch(const Node& node) {
  for (size_t offset = 0; offset < sizeof(Node); offset += 64) {
    __builtin_prefetch(reinterpret_cast<const char*>(&node) + offset);
  }
}

// What malloc takes for `size` bytes.
size_t HeapBytes(size_t size) { return size == 0 ? 0 : std::max<size_t>(32, (size + 8 + 15) / 16 * 16); }

}  // namespace

size_t RoutingTable::IndexOf(const Id& id) const {
  return std::min<size_t>(static_cast<size_t>(self_.CommonPrefix(id)), kIdBits - 1);
}

IpGroups RoutingTable::GroupsOf(const Node& node) const {
  if (node.groups == 0) return {};
  return node.groups == 1 ? IpGroups{static_cast<IpGroup>(node.group)}
                          : IpGroupsOf(node.addresses, options_.private_addresses);
}

bool RoutingTable::IsIn(const Node& node, IpGroup group) const {
  if (node.groups <= 1) return node.groups == 1 && node.group == group;
  const IpGroups groups = GroupsOf(node);
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

RoutingTable::Bucket* RoutingTable::BucketOf(const Id& id) {
  const size_t index = IndexOf(id);
  return index < buckets_.size() ? &buckets_[index] : nullptr;
}

const RoutingTable::Node* RoutingTable::FindNode(const Id& id) const {
  const size_t index = IndexOf(id);
  if (index >= buckets_.size()) return nullptr;
  const Bucket& bucket = buckets_[index];
  const size_t position = PositionIn(bucket, id);
  return position == bucket.nodes.size() ? nullptr : &bucket.nodes[position];
}

size_t RoutingTable::PositionIn(const Bucket& bucket, const Id& id) {
  const uint64_t head = id.Head();
  for (size_t i = 0; i < bucket.heads.size(); ++i) {
    if (bucket.heads[i] == head && bucket.nodes[i].id == id) return i;
  }
  return bucket.nodes.size();
}

bool RoutingTable::IsNearer(const Bucket& bucket, size_t position, const Id& target, const Id& distance) {
  const uint64_t head = bucket.heads[position] ^ target.Head();
  return head != distance.Head() ? head < distance.Head() : target.DistanceTo(bucket.nodes[position].id) < distance;
}

bool RoutingTable::IsSibling(size_t index, const Id& id) const {
  size_t nearer = 0;
  for (size_t i = index + 1; i < buckets_.size(); ++i) nearer += buckets_[i].nodes.size();
  if (nearer >= options_.siblings) return false;
  const Id distance = self_.DistanceTo(id);
  const Bucket& bucket = buckets_[index];
  for (size_t i = 0; i < bucket.nodes.size(); ++i) nearer += IsNearer(bucket, i, self_, distance) ? 1 : 0;
  return nearer < options_.siblings;
}

bool RoutingTable::HasPlace(size_t index, const Id& id) const {
  return buckets_[index].nodes.size() < kBucketSize || IsSibling(index, id);
}

bool RoutingTable::CapsAdmit(const Bucket& bucket, const IpGroups& groups) const {
  for (const IpGroup group : groups) {
    const auto in_table = groups_.find(group);
    if (in_table == groups_.end()) continue;
    if (options_.max_per_group_in_table > 0 && in_table->second >= options_.max_per_group_in_table) return false;
    if (options_.max_per_group_in_bucket == 0) continue;
    const auto in_bucket =
        std::count_if(bucket.nodes.begin(), bucket.nodes.end(), [&](const Node& node) { return IsIn(node, group); });
    if (static_cast<size_t>(in_bucket) >= options_.max_per_group_in_bucket) return false;
  }
  return true;
}

std::optional<Contact> RoutingTable::Seen(const Contact& contact, absl::Duration now, absl::Duration round_trip) {
  if (contact.id == self_) return std::nullopt;
  const auto now_ms = static_cast<uint64_t>(absl::ToInt64Milliseconds(now));
  const uint32_t round_trip_us = TimedUs(round_trip);
  const size_t index = IndexOf(contact.id);
  AddressList addresses = Acceptable(contact.addresses);
  if (addresses.empty()) return std::nullopt;
  if (index < buckets_.size()) {
    Bucket& bucket = buckets_[index];
    if (const size_t position = PositionIn(bucket, contact.id); position < bucket.nodes.size()) {
      Node& known = bucket.nodes[position];
      if (known.addresses == contact.addresses) {
        known.puzzle_solution = contact.puzzle_solution;
        known.seen_ms = now_ms & kMaxSeenMs;
        if (known.failures > 0) {
          ++version_;
          --bucket.doubtful;
        }
        known.failures = 0;
        if (round_trip_us != 0) {
          const uint64_t before = known.round_trip_us == 0 ? round_trip_us : uint64_t{known.round_trip_us};
          known.round_trip_us = ((7 * before + round_trip_us) / 8) & kMaxRoundTripUs;
        }
        return std::nullopt;
      }
      // With other addresses it is another node to the caps.
      (void)Remove(bucket, position);
    }
    if (const auto spare = FindById(bucket.spares, contact.id); spare != bucket.spares.end()) {
      bucket.spares.erase(spare);
    }
  }
  const IpGroups groups = IpGroupsOf(addresses, options_.private_addresses);
  Node node{.id = contact.id,
            .key = contact.key,
            .addresses = std::move(addresses),
            .puzzle_solution = contact.puzzle_solution,
            .seen_ms = now_ms & kMaxSeenMs,
            .round_trip_us = round_trip_us & kMaxRoundTripUs,
            .failures = 0,
            .entered_s = now_ms / 1000 & kMaxEnteredS,
            .groups = std::min<uint64_t>(groups.size(), 2) & 3,
            .group = groups.empty() ? IpGroup() : groups.front()};
  if (index >= buckets_.size()) buckets_.resize(index + 1);
  Bucket& bucket = buckets_[index];
  const bool admitted = CapsAdmit(bucket, groups);
  if (admitted && HasPlace(index, node.id)) {
    Enter(index, std::move(node));
    return std::nullopt;
  }
  AddSpare(bucket, std::move(node));
  Promote(index);  // of a place that its own former addresses held
  if (!admitted || bucket.nodes.empty() || now - bucket.asked_for_ping < kTrustedFor) return std::nullopt;
  const Node& oldest = *std::min_element(bucket.nodes.begin(), bucket.nodes.end(),
                                         [](const Node& a, const Node& b) { return a.seen_ms < b.seen_ms; });
  if (now - absl::Milliseconds(uint64_t{oldest.seen_ms}) < kTrustedFor) return std::nullopt;
  bucket.asked_for_ping = now;
  return oldest.ToContact();
}

void RoutingTable::Enter(size_t index, Node node) {
  for (const IpGroup group : GroupsOf(node)) ++groups_[group];
  Bucket& bucket = buckets_[index];
  bucket.doubtful += node.failures > 0 ? 1 : 0;
  Append(bucket.heads, node.id.Head());
  Append(bucket.nodes, std::move(node));
  ++size_;
  ++version_;
  TrimSiblings(index);
}

RoutingTable::Node RoutingTable::Remove(Bucket& bucket, size_t position) {
  const auto at = bucket.nodes.begin() + static_cast<std::ptrdiff_t>(position);
  Node node = std::move(*at);
  bucket.nodes.erase(at);
  bucket.heads.erase(bucket.heads.begin() + static_cast<std::ptrdiff_t>(position));
  bucket.doubtful -= node.failures > 0 ? 1 : 0;
  --size_;
  ++version_;
  for (const IpGroup group : GroupsOf(node)) {
    const auto count = groups_.find(group);
    if (--count->second == 0) groups_.erase(count);
  }
  return node;
}

void RoutingTable::AddSpare(Bucket& bucket, Node node) {
  const auto older = [](const Node& a, const Node& b) { return a.seen_ms < b.seen_ms; };
  if (options_.max_per_group_in_bucket > 0) {
    for (const IpGroup group : GroupsOf(node)) {
      const auto count = std::count_if(bucket.spares.begin(), bucket.spares.end(),
                                       [&](const Node& spare) { return IsIn(spare, group); });
      if (static_cast<size_t>(count) >= options_.max_per_group_in_bucket) return;
    }
  }
  if (bucket.spares.size() == kMaxSpares) {
    bucket.spares.erase(std::min_element(bucket.spares.begin(), bucket.spares.end(), older));
  }
  Append(bucket.spares, std::move(node), kMaxSpares);
}

void RoutingTable::Promote(size_t index) {
  Bucket& bucket = buckets_[index];
  while (true) {
    auto best = bucket.spares.end();
    // The nearest (0, not timed, becomes the largest); among equals the last to answer.
    const auto worth = [](const Node& node) {
      return std::make_tuple(static_cast<uint32_t>(node.round_trip_us) - 1, ~uint64_t{node.seen_ms});
    };
    for (auto spare = bucket.spares.begin(); spare != bucket.spares.end(); ++spare) {
      if (best != bucket.spares.end() && worth(*best) <= worth(*spare)) continue;
      if (HasPlace(index, spare->id) && CapsAdmit(bucket, GroupsOf(*spare))) best = spare;
    }
    if (best == bucket.spares.end()) return;
    Node node = std::move(*best);
    bucket.spares.erase(best);
    Enter(index, std::move(node));
  }
}

void RoutingTable::TrimSiblings(size_t index) {
  for (size_t i = 0; i <= index; ++i) {
    Bucket& bucket = buckets_[i];
    while (bucket.nodes.size() > kBucketSize) {
      const auto farthest = std::max_element(
          bucket.nodes.begin(), bucket.nodes.end(),
          [&](const Node& a, const Node& b) { return self_.DistanceTo(a.id) < self_.DistanceTo(b.id); });
      if (IsSibling(i, farthest->id)) break;
      AddSpare(bucket, Remove(bucket, static_cast<size_t>(farthest - bucket.nodes.begin())));
    }
    // While the table was young every bucket held siblings.
    if (bucket.nodes.capacity() > bucket.nodes.size() + kGrowth) {
      bucket.nodes.shrink_to_fit();
      bucket.heads.shrink_to_fit();
    }
  }
}

bool RoutingTable::Failed(const Id& id) {
  Bucket* bucket = BucketOf(id);
  if (bucket == nullptr) return false;
  if (const auto spare = FindById(bucket->spares, id); spare != bucket->spares.end()) {
    bucket->spares.erase(spare);
    return true;
  }
  const size_t position = PositionIn(*bucket, id);
  if (position == bucket->nodes.size()) return false;
  ++version_;
  Node& known = bucket->nodes[position];
  if (known.failures + 1 == kMaxFailures) {
    Evict(id);
  } else {
    bucket->doubtful += known.failures == 0 ? 1 : 0;
    ++known.failures;
  }
  return true;
}

void RoutingTable::Evict(const Id& id) {
  Bucket* bucket = BucketOf(id);
  if (bucket == nullptr) return;
  if (const auto spare = FindById(bucket->spares, id); spare != bucket->spares.end()) bucket->spares.erase(spare);
  const size_t position = PositionIn(*bucket, id);
  if (position == bucket->nodes.size()) return;
  (void)Remove(*bucket, position);
  Promote(IndexOf(id));
}

std::optional<Contact> RoutingTable::Find(const Id& id) const {
  const Node* node = FindNode(id);
  return node == nullptr ? std::nullopt : std::make_optional(node->ToContact());
}

bool RoutingTable::Knows(const Contact& contact) const {
  const Node* node = FindNode(contact.id);
  return node != nullptr && node->addresses == contact.addresses;
}

bool RoutingTable::Doubtful(const Id& id) const {
  const Node* node = FindNode(id);
  return node != nullptr && node->failures > 0;
}

absl::Duration RoutingTable::RoundTrip(const Id& id) const {
  const Node* node = FindNode(id);
  if (node == nullptr || node->round_trip_us == 0) return absl::InfiniteDuration();
  return absl::Microseconds(uint64_t{node->round_trip_us});
}

absl::Duration RoutingTable::Age(const Id& id, absl::Duration now) const {
  const Node* node = FindNode(id);
  return node == nullptr ? absl::ZeroDuration() : now - absl::Seconds(uint64_t{node->entered_s});
}

bool RoutingTable::HasRoomFor(const Id& id) const {
  const size_t index = IndexOf(id);
  return index >= buckets_.size() || buckets_[index].spares.size() < kMaxSpares || HasPlace(index, id);
}

std::vector<Contact> RoutingTable::Nearest(const Id& target, size_t count, Which which) const {
  struct Ranked {
    uint64_t head;  // of the distance
    const Node* node;
  };
  const auto nearer = [&](const Ranked& a, const Ranked& b) {
    return a.head != b.head ? a.head < b.head : target.DistanceTo(a.node->id) < target.DistanceTo(b.node->id);
  };
  std::vector<Contact> nearest;
  nearest.reserve(std::min(count, size_));
  absl::InlinedVector<Ranked, 2 * kBucketSize> ranked;
  const uint64_t target_head = target.Head();
  // Appends the nodes of a bucket, all of which are farther than those that are there.
  const auto append = [&](const Bucket& bucket) {
    ranked.clear();
    const bool all = which == Which::kAll || bucket.doubtful == 0;
    for (size_t i = 0; i < bucket.nodes.size(); ++i) {
      const Node* const node = &bucket.nodes[i];
      if (!all && node->failures > 0) continue;
      Prefetch(*node);
      ranked.push_back({bucket.heads[i] ^ target_head, node});
    }
    const size_t wanted = std::min(ranked.size(), count - nearest.size());
    if (wanted < ranked.size()) {
      std::nth_element(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(wanted), ranked.end(), nearer);
    }
    std::sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(wanted), nearer);
    for (size_t i = 0; i < wanted; ++i) nearest.push_back(ranked[i].node->ToContact());
  };
  // The ids of bucket i differ from ours first in bit i. Where the target's bit i differs from ours too, they are all
  // nearer to it than those of every deeper bucket, which have our bit; where it does not, they are all farther.
  const Id between = self_.DistanceTo(target);
  for (size_t i = 0; i < buckets_.size() && nearest.size() < count; ++i) {
    if (BitOf(between, i)) append(buckets_[i]);
  }
  for (size_t i = buckets_.size(); i-- > 0 && nearest.size() < count;) {
    if (!BitOf(between, i)) append(buckets_[i]);
  }
  return nearest;
}

std::vector<Contact> RoutingTable::Sample(size_t count, Random& random) const {
  std::vector<const Node*> nodes;
  nodes.reserve(size_);
  for (const Bucket& bucket : buckets_) {
    for (const Node& node : bucket.nodes) nodes.push_back(&node);
  }
  std::vector<Contact> sample;
  for (size_t i = 0; i < std::min(count, nodes.size()); ++i) {
    std::swap(nodes[i], nodes[i + random.Below(nodes.size() - i)]);
    sample.push_back(nodes[i]->ToContact());
  }
  return sample;
}

std::vector<Contact> RoutingTable::All() const {
  std::vector<Contact> all;
  all.reserve(size_);
  for (const Bucket& bucket : buckets_) {
    for (const Node& node : bucket.nodes) all.push_back(node.ToContact());
  }
  return all;
}

size_t RoutingTable::MemoryBytes() const {
  size_t bytes = HeapBytes(buckets_.capacity() * sizeof(Bucket)) + groups_.capacity() * (sizeof(*groups_.begin()) + 1);
  for (const Bucket& bucket : buckets_) {
    bytes += HeapBytes(bucket.heads.capacity() * sizeof(uint64_t));
    for (const std::vector<Node>* nodes : {&bucket.nodes, &bucket.spares}) {
      bytes += HeapBytes(nodes->capacity() * sizeof(Node));
      for (const Node& node : *nodes) bytes += HeapBytes(node.addresses.block_size());
    }
  }
  return bytes;
}

void RoutingTable::LookedUp(const Id& target, absl::Duration now) {
  if (target == self_) {
    looked_up_ourselves_ = now;
  } else if (Bucket* bucket = BucketOf(target); bucket != nullptr) {
    bucket->looked_up = now;
  }
}

size_t RoutingTable::Neighbourhood() const {
  size_t first = buckets_.size();
  for (size_t nodes = 0; first > 0; --first) {
    nodes += buckets_[first - 1].nodes.size();
    if (nodes > kBucketSize) break;
  }
  return first;
}

std::vector<size_t> RoutingTable::StaleBuckets(absl::Duration interval, absl::Duration now) const {
  std::vector<size_t> stale;
  if (size_ == 0) return stale;
  const size_t neighbourhood = Neighbourhood();
  for (size_t i = 0; i < neighbourhood; ++i) {
    if (now - buckets_[i].looked_up >= interval) stale.push_back(i);
  }
  if (now - looked_up_ourselves_ >= interval) stale.push_back(neighbourhood);
  return stale;
}

Id RoutingTable::RefreshTarget(size_t index, Random& random) const {
  return index < Neighbourhood() ? RandomIdIn(index, random) : self_;
}

bool RoutingTable::IsFull(size_t index) const {
  return index < buckets_.size() && buckets_[index].nodes.size() >= kBucketSize && buckets_[index].doubtful == 0;
}

Id RoutingTable::RandomIdIn(size_t index, Random& random) const {
  std::string bytes = random.Bytes(kIdBits / 8);
  const absl::string_view self = self_.bytes();
  const size_t whole = index / 8;
  std::copy(self.begin(), self.begin() + static_cast<std::ptrdiff_t>(whole), bytes.begin());
  // Of the byte where the ids part: our bits before the parting one, the opposite of that one, random ones after it.
  const auto parting = static_cast<uint8_t>(0x80 >> (index % 8));
  const auto after = static_cast<uint8_t>(parting - 1);
  const auto before = static_cast<uint8_t>(~(parting | after));
  const auto ours = static_cast<uint8_t>(self[whole]);
  const auto noise = static_cast<uint8_t>(bytes[whole]);
  bytes[whole] = static_cast<char>((ours & before) | (~ours & parting) | (noise & after));
  return *Id::FromBytes(bytes);
}

}  // namespace dotagent::dht
