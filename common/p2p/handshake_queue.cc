#include "common/p2p/handshake_queue.h"

#include <algorithm>
#include <utility>

namespace dotagent::p2p {
namespace {

constexpr size_t kPaidTurns = 3;  // of kPaidTurns + 1

}  // namespace

HandshakeQueue::Entered HandshakeQueue::Enter(const std::string& group, absl::Time now) {
  if (const auto found = by_group_.find(group); found != by_group_.end() && found->second >= max_per_address_) {
    return {.id = 0, .refusal = Refusal::kPerAddress, .evicted = std::nullopt};
  }
  std::optional<Id> evicted;
  if (entries_.size() >= max_in_all_) {
    evicted = Evict(now);
    if (!evicted) return {.id = 0, .refusal = Refusal::kInAll, .evicted = std::nullopt};
  }
  const Id id = next_id_++;
  const auto place = idle_.insert(idle_.end(), id);
  entries_[id] = {.group = group, .state = State::kIdle, .since = now, .idle = place};
  ++by_group_[group];
  return {.id = id, .refusal = Refusal::kNone, .evicted = evicted};
}

bool HandshakeQueue::Knock(Id id, bool paid) {
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second.state != State::kIdle) return false;
  if (!paid && unpaid_.size >= std::max<size_t>(max_in_all_ - max_in_all_ / 4, 1)) {
    Leave(id);
    return false;
  }
  Entry& entry = found->second;
  idle_.erase(entry.idle);
  entry.state = paid ? State::kWaitingPaid : State::kWaitingUnpaid;
  Lane& lane = paid ? paid_ : unpaid_;
  std::deque<Id>& of_group = lane.by_group[entry.group];
  if (of_group.empty()) lane.turns.push_back(entry.group);
  of_group.push_back(id);
  ++lane.size;
  return true;
}

std::optional<HandshakeQueue::Turn> HandshakeQueue::Next(absl::Time now) {
  if (waiting() == 0) return std::nullopt;
  const bool paid = unpaid_.size == 0 || (paid_.size > 0 && turns_ % (kPaidTurns + 1) < kPaidTurns);
  if (paid_.size > 0 && unpaid_.size > 0) ++turns_;
  const Id id = Pop(paid ? paid_ : unpaid_);
  Entry& entry = entries_.at(id);
  entry.state = State::kIdle;
  entry.since = now;
  entry.idle = idle_.insert(idle_.end(), id);
  return Turn{.id = id, .paid = paid};
}

void HandshakeQueue::Leave(Id id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  const Entry& entry = found->second;
  if (entry.state == State::kIdle) {
    idle_.erase(entry.idle);
  } else {
    Lane& lane = entry.state == State::kWaitingPaid ? paid_ : unpaid_;
    const auto of_group = lane.by_group.find(entry.group);
    std::erase(of_group->second, id);
    --lane.size;
    if (of_group->second.empty()) {
      lane.by_group.erase(of_group);
      std::erase(lane.turns, entry.group);
    }
  }
  const auto count = by_group_.find(entry.group);
  if (--count->second == 0) by_group_.erase(count);
  entries_.erase(found);
}

std::optional<HandshakeQueue::Id> HandshakeQueue::Evict(absl::Time now) {
  if (idle_.empty()) return std::nullopt;
  const Id oldest = idle_.front();
  if (now - entries_.at(oldest).since < kGrace) return std::nullopt;
  Leave(oldest);
  return oldest;
}

HandshakeQueue::Id HandshakeQueue::Pop(Lane& lane) {
  const std::string group = std::move(lane.turns.front());
  lane.turns.pop_front();
  const auto of_group = lane.by_group.find(group);
  const Id id = of_group->second.front();
  of_group->second.pop_front();
  --lane.size;
  if (of_group->second.empty()) {
    lane.by_group.erase(of_group);
  } else {
    lane.turns.push_back(group);
  }
  return id;
}

}  // namespace dotagent::p2p
