#include "common/dht/routing_table.h"

#include <algorithm>
#include <utility>

namespace dotagent::dht {
namespace {

template <typename Nodes>
auto FindById(Nodes& nodes, const Id& id) {
  return std::find_if(nodes.begin(), nodes.end(), [&](const auto& node) { return node.contact.id == id; });
}

}  // namespace

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

std::optional<Contact> RoutingTable::Seen(const Contact& contact, absl::Duration now) {
  if (contact.id == self_ || contact.addresses.empty()) return std::nullopt;
  const size_t index = IndexOf(contact.id);
  if (index >= buckets_.size()) buckets_.resize(index + 1);
  Bucket& bucket = buckets_[index];
  Node node{contact, now, 0};
  if (const auto known = FindById(bucket.nodes, contact.id); known != bucket.nodes.end()) {
    bucket.nodes.erase(known);
    bucket.nodes.push_back(std::move(node));
    return std::nullopt;
  }
  if (const auto spare = FindById(bucket.spares, contact.id); spare != bucket.spares.end()) bucket.spares.erase(spare);
  if (bucket.nodes.size() < kBucketSize) {
    bucket.nodes.push_back(std::move(node));
    ++size_;
    return std::nullopt;
  }
  if (bucket.spares.size() == kBucketSize) bucket.spares.erase(bucket.spares.begin());
  bucket.spares.push_back(std::move(node));
  Node& oldest = bucket.nodes.front();
  if (now - oldest.seen < kTrustedFor) return std::nullopt;
  oldest.seen = now;  // so that the next newcomer does not have it pinged again at once
  return oldest.contact;
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
  if (++known->failures >= kMaxFailures) Evict(id);
  return true;
}

void RoutingTable::Evict(const Id& id) {
  Bucket* bucket = BucketOf(id);
  if (bucket == nullptr) return;
  if (const auto spare = FindById(bucket->spares, id); spare != bucket->spares.end()) bucket->spares.erase(spare);
  const auto known = FindById(bucket->nodes, id);
  if (known == bucket->nodes.end()) return;
  bucket->nodes.erase(known);
  if (bucket->spares.empty()) {
    --size_;
    return;
  }
  bucket->nodes.push_back(std::move(bucket->spares.back()));
  bucket->spares.pop_back();
}

const Contact* RoutingTable::Find(const Id& id) const {
  const Node* node = FindNode(id);
  return node == nullptr ? nullptr : &node->contact;
}

bool RoutingTable::Doubtful(const Id& id) const {
  const Node* node = FindNode(id);
  return node != nullptr && node->failures > 0;
}

bool RoutingTable::HasRoomFor(const Id& id) const {
  const size_t index = IndexOf(id);
  if (index >= buckets_.size()) return true;
  const Bucket& bucket = buckets_[index];
  return bucket.nodes.size() < kBucketSize || bucket.spares.size() < kBucketSize;
}

std::vector<Contact> RoutingTable::Nearest(const Id& target, size_t count, Which which) const {
  std::vector<Contact> nearest;
  // Appends the nodes of buckets [first, last), nearest first, until there are `count`.
  const auto append = [&](size_t first, size_t last) {
    std::vector<std::pair<Id, const Contact*>> group;
    for (size_t i = first; i < last; ++i) {
      for (const Node& node : buckets_[i].nodes) {
        if (which == Which::kAnswering && node.failures > 0) continue;
        group.emplace_back(target.DistanceTo(node.contact.id), &node.contact);
      }
    }
    std::sort(group.begin(), group.end());
    for (const auto& [distance, contact] : group) {
      if (nearest.size() == count) return;
      nearest.push_back(*contact);
    }
  };
  // The target's own bucket shares the longest prefix with it; the deeper ones all share exactly ours; each shallower
  // one less.
  const size_t own = std::min(IndexOf(target), buckets_.size());
  const size_t deeper = std::min(own + 1, buckets_.size());
  append(own, deeper);
  append(deeper, buckets_.size());
  for (size_t i = own; i-- > 0 && nearest.size() < count;) append(i, i + 1);
  return nearest;
}

std::vector<Contact> RoutingTable::All() const {
  std::vector<Contact> all;
  all.reserve(size_);
  for (const Bucket& bucket : buckets_) {
    for (const Node& node : bucket.nodes) all.push_back(node.contact);
  }
  return all;
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
