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
void Append(Nodes& nodes, typename Nodes::value_type node) {
  if (nodes.size() == nodes.capacity()) nodes.reserve(nodes.size() + kGrowth);
  nodes.push_back(std::move(node));
}

bool Acceptable(const std::string& address) { return !address.empty() && address.size() <= kMaxAddressSize; }

// The first 64 bits: enough to order nearly all pairs of ids.
uint64_t Head(const Id& id) {
  uint64_t head = 0;
  for (size_t i = 0; i < 8; ++i) head = head << 8 | static_cast<uint8_t>(id.bytes()[i]);
  return head;
}

bool BitOf(const Id& id, size_t index) {
  return (static_cast<uint8_t>(id.bytes()[index / 8]) >> (7 - index % 8) & 1) != 0;
}

// As Node::round_trip_us holds it: 1 µs to 17 minutes; 0 for what is longer, or infinite.
constexpr uint32_t kMaxRoundTripUs = (uint32_t{1} << 30) - 1;
uint32_t TimedUs(absl::Duration round_trip) {
  if (round_trip > absl::Microseconds(kMaxRoundTripUs)) return 0;
  return static_cast<uint32_t>(std::max<int64_t>(1, absl::ToInt64Microseconds(round_trip)));
}

// What malloc takes for `size` bytes.
size_t HeapBytes(size_t size) { return size == 0 ? 0 : std::max<size_t>(32, (size + 8 + 15) / 16 * 16); }

}  // namespace

RoutingTable::Addresses::Addresses(const std::vector<std::string>& addresses) {
  std::string packed(1, '\0');
  for (const std::string& address : addresses) {
    if (!Acceptable(address) || static_cast<size_t>(packed[0]) == kMaxContactAddresses) continue;
    ++packed[0];
    packed.push_back(static_cast<char>(address.size()));
    packed.append(address);
  }
  if (packed[0] == 0) return;
  bytes_ = std::make_unique<char[]>(packed.size());
  std::copy(packed.begin(), packed.end(), bytes_.get());
}

bool RoutingTable::Addresses::operator==(const std::vector<std::string>& addresses) const {
  if (empty() || addresses.size() != static_cast<size_t>(bytes_[0])) return false;
  const char* next = &bytes_[1];
  for (const std::string& address : addresses) {
    const auto size = static_cast<uint8_t>(*next++);
    if (address != absl::string_view(next, size)) return false;
    next += size;
  }
  return true;
}

std::vector<std::string> RoutingTable::Addresses::Unpack() const {
  std::vector<std::string> addresses;
  if (empty()) return addresses;
  addresses.reserve(static_cast<size_t>(bytes_[0]));
  const char* next = &bytes_[1];
  for (char i = 0; i < bytes_[0]; ++i) {
    const auto size = static_cast<uint8_t>(*next++);
    addresses.emplace_back(next, size);
    next += size;
  }
  return addresses;
}

size_t RoutingTable::Addresses::size() const {
  if (empty()) return 0;
  const char* next = &bytes_[1];
  for (char i = 0; i < bytes_[0]; ++i) next += 1 + static_cast<uint8_t>(*next);
  return static_cast<size_t>(next - &bytes_[0]);
}

size_t RoutingTable::IndexOf(const Id& id) const {
  return std::min<size_t>(static_cast<size_t>(self_.CommonPrefix(id)), kIdBits - 1);
}

RoutingTable::Bucket* RoutingTable::BucketOf(const Id& id) {
  const size_t index = IndexOf(id);
  return index < buckets_.size() ? &buckets_[index] : nullptr;
}

const RoutingTable::Node* RoutingTable::FindNode(const Id& id) const {
  const size_t index = IndexOf(id);
  if (index >= buckets_.size()) return nullptr;
  const std::vector<Node>& nodes = buckets_[index].nodes;
  const auto found = FindById(nodes, id);
  return found == nodes.end() ? nullptr : &*found;
}

IpGroups RoutingTable::GroupsOf(const Node& node) const {
  return IpGroupsOf(node.addresses.Unpack(), options_.private_addresses);
}

bool RoutingTable::IsSibling(size_t index, const Id& id) const {
  size_t nearer = 0;
  for (size_t i = index + 1; i < buckets_.size(); ++i) nearer += buckets_[i].nodes.size();
  if (nearer >= options_.siblings) return false;
  const Id distance = self_.DistanceTo(id);
  for (const Node& node : buckets_[index].nodes) nearer += self_.DistanceTo(node.id) < distance ? 1 : 0;
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
        static_cast<size_t>(std::count_if(bucket.nodes.begin(), bucket.nodes.end(), [&](const Node& node) {
          const IpGroups others = GroupsOf(node);
          return std::find(others.begin(), others.end(), group) != others.end();
        }));
    if (in_bucket >= options_.max_per_group_in_bucket) return false;
  }
  return true;
}

std::optional<Contact> RoutingTable::Seen(const Contact& contact, absl::Duration now, absl::Duration round_trip) {
  if (contact.id == self_) return std::nullopt;
  const int64_t now_us = absl::ToInt64Microseconds(now);
  const uint32_t round_trip_us = TimedUs(round_trip);
  const size_t index = IndexOf(contact.id);
  if (!std::any_of(contact.addresses.begin(), contact.addresses.end(), Acceptable)) return std::nullopt;
  if (index < buckets_.size()) {
    Bucket& bucket = buckets_[index];
    if (const auto known = FindById(bucket.nodes, contact.id); known != bucket.nodes.end()) {
      if (known->addresses == contact.addresses) {
        known->puzzle_solution = contact.puzzle_solution;
        known->seen_us = now_us;
        version_ += known->failures > 0 ? 1 : 0;
        known->failures = 0;
        if (round_trip_us != 0) {
          const uint64_t before = known->round_trip_us == 0 ? round_trip_us : uint32_t{known->round_trip_us};
          known->round_trip_us = ((7 * before + round_trip_us) / 8) & kMaxRoundTripUs;
        }
        return std::nullopt;
      }
      // With other addresses it is another node to the caps.
      (void)Remove(bucket, static_cast<size_t>(known - bucket.nodes.begin()));
    }
    if (const auto spare = FindById(bucket.spares, contact.id); spare != bucket.spares.end()) {
      bucket.spares.erase(spare);
    }
  }
  Node node{.id = contact.id,
            .key = contact.key,
            .addresses = Addresses(contact.addresses),
            .puzzle_solution = contact.puzzle_solution,
            .seen_us = now_us,
            .entered_s = static_cast<uint32_t>(absl::ToInt64Seconds(now)),
            .round_trip_us = round_trip_us};
  if (index >= buckets_.size()) buckets_.resize(index + 1);
  Bucket& bucket = buckets_[index];
  const bool admitted = CapsAdmit(bucket, GroupsOf(node));
  if (admitted && HasPlace(index, node.id)) {
    Enter(index, std::move(node));
    return std::nullopt;
  }
  AddSpare(bucket, std::move(node));
  Promote(index);  // of a place that its own former addresses held
  if (!admitted || bucket.nodes.empty()) return std::nullopt;
  const Node& oldest = *std::min_element(bucket.nodes.begin(), bucket.nodes.end(),
                                         [](const Node& a, const Node& b) { return a.seen_us < b.seen_us; });
  if (now - std::max(absl::Microseconds(oldest.seen_us), bucket.asked_for_ping) < kTrustedFor) return std::nullopt;
  bucket.asked_for_ping = now;
  return oldest.ToContact();
}

void RoutingTable::Enter(size_t index, Node node) {
  for (const IpGroup group : GroupsOf(node)) ++groups_[group];
  Append(buckets_[index].nodes, std::move(node));
  ++size_;
  ++version_;
  TrimSiblings(index);
}

RoutingTable::Node RoutingTable::Remove(Bucket& bucket, size_t position) {
  const auto at = bucket.nodes.begin() + static_cast<std::ptrdiff_t>(position);
  Node node = std::move(*at);
  bucket.nodes.erase(at);
  --size_;
  ++version_;
  for (const IpGroup group : GroupsOf(node)) {
    const auto count = groups_.find(group);
    if (--count->second == 0) groups_.erase(count);
  }
  return node;
}

void RoutingTable::AddSpare(Bucket& bucket, Node node) {
  const auto older = [](const Node& a, const Node& b) { return a.seen_us < b.seen_us; };
  if (options_.max_per_group_in_bucket > 0) {
    for (const IpGroup group : GroupsOf(node)) {
      const auto of_group = [&](const Node& spare) {
        const IpGroups groups = GroupsOf(spare);
        return std::find(groups.begin(), groups.end(), group) != groups.end();
      };
      const auto count = std::count_if(bucket.spares.begin(), bucket.spares.end(), of_group);
      if (static_cast<size_t>(count) >= options_.max_per_group_in_bucket) return;
    }
  }
  if (bucket.spares.size() == kMaxSpares) {
    bucket.spares.erase(std::min_element(bucket.spares.begin(), bucket.spares.end(), older));
  }
  Append(bucket.spares, std::move(node));
}

void RoutingTable::Promote(size_t index) {
  Bucket& bucket = buckets_[index];
  while (true) {
    auto best = bucket.spares.end();
    // The nearest (0, not timed, becomes the largest); among equals the last to answer.
    const auto worth = [](const Node& node) {
      return std::make_tuple(uint32_t{node.round_trip_us} - 1, -node.seen_us);
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
    if (bucket.nodes.capacity() > bucket.nodes.size() + kGrowth) bucket.nodes.shrink_to_fit();
  }
}

bool RoutingTable::Failed(const Id& id) {
  Bucket* bucket = BucketOf(id);
  if (bucket == nullptr) return false;
  if (const auto spare = FindById(bucket->spares, id); spare != bucket->spares.end()) {
    bucket->spares.erase(spare);
    return true;
  }
  const auto known = FindById(bucket->nodes, id);
  if (known == bucket->nodes.end()) return false;
  ++version_;
  if (++known->failures >= kMaxFailures) Evict(id);
  return true;
}

void RoutingTable::Evict(const Id& id) {
  Bucket* bucket = BucketOf(id);
  if (bucket == nullptr) return;
  if (const auto spare = FindById(bucket->spares, id); spare != bucket->spares.end()) bucket->spares.erase(spare);
  const auto known = FindById(bucket->nodes, id);
  if (known == bucket->nodes.end()) return;
  (void)Remove(*bucket, static_cast<size_t>(known - bucket->nodes.begin()));
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
  return absl::Microseconds(node->round_trip_us);
}

absl::Duration RoutingTable::Age(const Id& id, absl::Duration now) const {
  const Node* node = FindNode(id);
  return node == nullptr ? absl::ZeroDuration() : now - absl::Seconds(node->entered_s);
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
  const uint64_t target_head = Head(target);
  // Appends the nodes of a bucket, all of which are farther than those that are there.
  const auto append = [&](const Bucket& bucket) {
    ranked.clear();
    for (const Node& node : bucket.nodes) {
      if (which == Which::kAll || node.failures == 0) ranked.push_back({Head(node.id) ^ target_head, &node});
    }
    const size_t wanted = std::min(ranked.size(), count - nearest.size());
    std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(wanted), ranked.end(), nearer);
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
    for (const std::vector<Node>* nodes : {&bucket.nodes, &bucket.spares}) {
      bytes += HeapBytes(nodes->capacity() * sizeof(Node));
      for (const Node& node : *nodes) bytes += HeapBytes(node.addresses.size());
    }
  }
  return bytes;
}

void RoutingTable::LookedUp(const Id& target, absl::Duration now) {
  if (Bucket* bucket = BucketOf(target); bucket != nullptr) bucket->looked_up = now;
}

std::vector<size_t> RoutingTable::StaleBuckets(absl::Duration interval, absl::Duration now) const {
  size_t end = buckets_.size();
  while (end > 0 && buckets_[end - 1].nodes.empty()) --end;
  std::vector<size_t> stale;
  for (size_t i = 0; i < end; ++i) {
    if (now - buckets_[i].looked_up >= interval) stale.push_back(i);
  }
  return stale;
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
