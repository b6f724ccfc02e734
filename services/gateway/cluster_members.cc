#include "services/gateway/cluster_members.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/p2p/rendezvous.h"

namespace dotagent::gateway_service {

absl::Status ClusterMembers::Heard(const ClusterMember& member, absl::Duration now) {
  now_ = std::max(now_, now);
  if (member.key == self_) return absl::OkStatus();
  auto found = others_.find(member.key);
  const bool is_new = found == others_.end();
  if (is_new) {
    RETURN_IF_ERROR(MakeRoom());
    found = others_.emplace(member.key, State{}).first;
  }
  State& state = found->second;
  const bool restarted = !is_new && state.member.generation != member.generation;
  state.member = member;
  state.heard = now_;
  if (is_new) {
    state.up = true;
    state.changed = now_;
    state.hold_until = now_;
  } else if (!state.up || restarted) {
    ComeUp(state, restarted, now_);
  }
  Count();
  return absl::OkStatus();
}

void ClusterMembers::ComeUp(State& state, bool restarted, absl::Duration now) {
  state.returns = now - state.changed > kFlapMemory ? 1 : state.returns + 1;
  state.up = true;
  state.told = false;
  state.changed = now;
  state.restarted = restarted;
  absl::Duration hold;  // none the first time: an update restarts everyone once
  for (int i = 1; i < state.returns && hold < limits_.longest_hold; ++i) {
    hold = i == 1 ? limits_.first_hold : std::min(hold * 2, limits_.longest_hold);
  }
  state.hold_until = now + hold;
}

absl::Status ClusterMembers::MakeRoom() {
  if (others_.size() < limits_.max_members) return absl::OkStatus();
  auto longest = others_.end();
  for (auto it = others_.begin(); it != others_.end(); ++it) {
    if (it->second.up) continue;
    if (longest == others_.end() || it->second.heard < longest->second.heard) longest = it;
  }
  if (longest == others_.end()) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("a cluster has at most ", limits_.max_members + 1, " gateways"));
  }
  others_.erase(longest);
  return absl::OkStatus();
}

void ClusterMembers::Told(const crypto::PublicKey& key, uint64_t generation) {
  const auto found = others_.find(key);
  if (found == others_.end() || !found->second.up || found->second.member.generation != generation) return;
  found->second.told = true;
  Count();
}

void ClusterMembers::Looked() {
  looked_ = true;
  Count();
}

void ClusterMembers::Drain() {
  draining_ = true;
  Count();
}

void ClusterMembers::Tick(absl::Duration now) {
  now_ = std::max(now_, now);
  for (auto it = others_.begin(); it != others_.end();) {
    State& state = it->second;
    if (now_ - state.heard > limits_.down_after) {
      state.up = false;
      state.told = false;
    }
    it = now_ - state.heard > limits_.forget_after ? others_.erase(it) : std::next(it);
  }
  Count();
}

void ClusterMembers::Count() {
  bool told_us = true;
  bool held = false;
  std::vector<crypto::PublicKey> active;
  for (const auto& [key, state] : others_) {
    if (!state.up) continue;
    told_us = told_us && state.member.told_generation == generation_;
    held = held || (state.member.holds_us && state.member.joined && !state.member.draining);
    if (state.told && state.member.joined && !state.member.draining && now_ >= state.hold_until) active.push_back(key);
  }
  joined_ = joined_ || (looked_ && told_us);
  if (joined_ && !draining_ && !held) {
    active.insert(std::upper_bound(active.begin(), active.end(), self_), self_);
  }
  if (active == active_) return;
  active_ = std::move(active);
  ++version_;
}

std::optional<crypto::PublicKey> ClusterMembers::HomeOf(absl::string_view name) const {
  if (active_.empty() && joined_) return self_;
  return p2p::RendezvousNode(name, active_);
}

const ClusterMember* ClusterMembers::Find(const crypto::PublicKey& key) const {
  const auto found = others_.find(key);
  return found == others_.end() ? nullptr : &found->second.member;
}

std::vector<ClusterMember> ClusterMembers::Others() const {
  std::vector<ClusterMember> others;
  for (const auto& [_, state] : others_) others.push_back(state.member);
  return others;
}

std::vector<ClusterMember> ClusterMembers::Up() const {
  std::vector<ClusterMember> up;
  for (const auto& [_, state] : others_) {
    if (state.up) up.push_back(state.member);
  }
  return up;
}

std::vector<ClusterMember> ClusterMembers::Untold() const {
  std::vector<ClusterMember> untold;
  for (const auto& [_, state] : others_) {
    if (state.up && !state.told) untold.push_back(state.member);
  }
  return untold;
}

uint64_t ClusterMembers::ToldGeneration(const crypto::PublicKey& key) const {
  const auto found = others_.find(key);
  return found != others_.end() && found->second.told ? found->second.member.generation : 0;
}

bool ClusterMembers::HoldsForRestarts(const crypto::PublicKey& key) const {
  const auto found = others_.find(key);
  return found != others_.end() && found->second.restarted && now_ < found->second.hold_until;
}

}  // namespace dotagent::gateway_service
