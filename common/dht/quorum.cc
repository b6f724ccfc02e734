#include "common/dht/quorum.h"

#include <algorithm>

namespace dotagent::dht {

void Quorum::Add(const Id& node, const Value& value) { votes_.emplace(value.key.DistanceTo(node), value); }

const Value* Quorum::Find(absl::string_view bytes) const {
  const auto found = std::find_if(votes_.begin(), votes_.end(), [&](const auto& v) { return v.second.bytes == bytes; });
  return found == votes_.end() ? nullptr : &found->second;
}

bool Quorum::decided() const {
  std::map<absl::string_view, size_t> by_owner;
  return std::any_of(votes_.begin(), votes_.end(),
                     [&](const auto& vote) { return ++by_owner[vote.second.owner] >= kQuorum; });
}

Quorum::Answer Quorum::Best() const {
  std::map<absl::string_view, size_t> by_owner;
  for (const auto& [distance, value] : votes_) ++by_owner[value.owner];
  const Value* winner = nullptr;
  for (const auto& [distance, value] : votes_) {
    if (winner == nullptr || by_owner[value.owner] > by_owner[winner->owner]) winner = &value;
  }
  const Value* best = winner;
  for (const auto& [distance, value] : votes_) {
    if (value.owner != winner->owner) continue;
    const absl::StatusOr<bool> better = TypeOf(value.kind).Replaces(*best, value);
    if (better.ok() && *better) best = &value;
  }
  Answer answer{*best, 0};
  for (const auto& [distance, value] : votes_) answer.agreeing += value.bytes == best->bytes ? 1 : 0;
  return answer;
}

}  // namespace dotagent::dht
