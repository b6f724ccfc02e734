#include "tests/simulation/id_index.h"

#include <algorithm>

namespace dotagent::simulation {
namespace {

bool Bit(const dht::Id& id, int bit) {
  const auto byte = static_cast<unsigned char>(id.bytes()[static_cast<size_t>(bit / 8)]);
  return (byte >> (7 - bit % 8) & 1) != 0;
}

bool Before(const std::pair<dht::Id, size_t>& entry, const dht::Id& id) { return entry.first < id; }

}  // namespace

void IdIndex::Add(const dht::Id& id, size_t node) {
  entries_.insert(std::lower_bound(entries_.begin(), entries_.end(), id, Before), {id, node});
}

void IdIndex::Remove(const dht::Id& id) {
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), id, Before);
  if (found != entries_.end() && found->first == id) entries_.erase(found);
}

std::vector<size_t> IdIndex::Nearest(const dht::Id& target, size_t count) const {
  std::vector<size_t> out;
  out.reserve(std::min(count, entries_.size()));
  Collect(0, entries_.size(), 0, target, count, &out);
  return out;
}

void IdIndex::Collect(size_t first, size_t last, int bit, const dht::Id& target, size_t count,
                      std::vector<size_t>* out) const {
  if (first == last || out->size() == count) return;
  if (last - first == 1 || bit == dht::kIdBits) {
    for (size_t i = first; i < last && out->size() < count; ++i) out->push_back(entries_[i].second);
    return;
  }
  const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(first);
  const auto end = entries_.begin() + static_cast<std::ptrdiff_t>(last);
  const auto parting = std::partition_point(begin, end, [&](const Entry& entry) { return !Bit(entry.first, bit); });
  const auto middle = static_cast<size_t>(parting - entries_.begin());
  // Those that agree with the target in this bit are all nearer than those that do not.
  if (Bit(target, bit)) {
    Collect(middle, last, bit + 1, target, count, out);
    Collect(first, middle, bit + 1, target, count, out);
  } else {
    Collect(first, middle, bit + 1, target, count, out);
    Collect(middle, last, bit + 1, target, count, out);
  }
}

}  // namespace dotagent::simulation
