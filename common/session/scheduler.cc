#include "common/session/scheduler.h"

#include <algorithm>

namespace dotagent::session {

Scheduler::Scheduler() { StartRound(); }

void Scheduler::StartRound() {
  for (size_t i = 0; i < kPriorities; ++i) {
    // A frame may overdraw its level by less than itself, which the level's next round pays; so one new share is always
    // enough to make a deficit positive.
    const int64_t share = kWeights[i] * static_cast<int64_t>(kTurn);
    levels_[i].deficit = std::min(share, levels_[i].deficit + share);
  }
}

void Scheduler::Add(StreamId id, Priority priority) {
  const auto level = static_cast<size_t>(priority);
  const auto [entry, is_new] = entries_.try_emplace(id);
  if (!is_new) return;
  std::list<StreamId>& waiting = levels_[level].waiting;
  entry->second = {.level = level, .place = waiting.insert(waiting.end(), id)};
}

void Scheduler::Remove(StreamId id) {
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return;
  Level& level = levels_[entry->second.level];
  level.waiting.erase(entry->second.place);
  entries_.erase(entry);
}

void Scheduler::SetPriority(StreamId id, Priority priority) {
  const auto entry = entries_.find(id);
  if (entry == entries_.end() || entry->second.level == static_cast<size_t>(priority)) return;
  Remove(id);
  Add(id, priority);
}

std::optional<StreamId> Scheduler::Next() {
  if (entries_.empty()) return std::nullopt;
  while (true) {
    for (const Level& level : levels_) {
      if (!level.waiting.empty() && level.deficit > 0) return level.waiting.front();
    }
    StartRound();
  }
}

void Scheduler::Charge(StreamId id, size_t bytes) {
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return;
  Level& level = levels_[entry->second.level];
  level.deficit -= static_cast<int64_t>(bytes);
  entry->second.turn += bytes;
  if (entry->second.turn >= kTurn) {
    entry->second.turn -= kTurn;
    level.waiting.splice(level.waiting.end(), level.waiting, entry->second.place);
  }
}

}  // namespace dotagent::session
