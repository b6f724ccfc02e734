#include "common/dht/verdict.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace dotagent::dht {
namespace {

// See the header, "Density".
constexpr double kEarlySparsest = 1.3;
constexpr double kEarlyReach = 6;
constexpr double kSparsestOfAll = 3;

// How many nodes the whole network has, the reader not counted.
double WholeOf(const Density& density) {
  static const Id kFarthest = *Id::FromBytes(std::string(kIdBits / 8, '\xff'));
  return density(kFarthest);
}

// One more than so many fifths of the network.
size_t MoreThanFifths(size_t fifths, const Density& density) {
  return static_cast<size_t>(std::ceil(WholeOf(density))) * fifths / 5 + 1;
}

}  // namespace

bool IsSmall(const Density& density) { return WholeOf(density) <= static_cast<double>(kWitnesses); }

size_t EnoughUnanimous(const Density& density) {
  return IsSmall(density) ? std::max(kFewestUnanimous, MoreThanFifths(2, density)) : kUnanimous;
}

size_t EnoughForWitness(const Density& density) { return std::max(kReplicationFactor, MoreThanFifths(1, density)); }

void Ballot::AddOwn(const Id& self, Vote vote, bool settled) {
  self_ = key_.DistanceTo(self);
  settled_ = settled && vote.receipt.has_value();
  Add(self, std::move(vote));
}

const Value* Ballot::Find(const Item& item) const {
  for (const auto& [distance, vote] : votes_) {
    if (vote.value && vote.value->item == item) return &*vote.value;
  }
  return nullptr;
}

std::optional<Id> Ballot::OwnerIn(const Vote& vote) {
  if (vote.receipt) return vote.receipt->owner;
  if (vote.value) return vote.value->owner;
  return std::nullopt;
}

bool Ballot::HasValueOf(const Id& owner) const {
  return std::any_of(votes_.begin(), votes_.end(),
                     [&](const auto& entry) { return entry.second.value && entry.second.value->owner == owner; });
}

Ballot::Judgement Ballot::Judge(const std::vector<Id>& nearest, bool all, const Density& density) const {
  if (!type_.first_claim()) return JudgeValues(nearest, all, density);
  if (const Judgement own = JudgeAsWitness(nearest, density); own.outcome != Outcome::kUndecided) return own;
  const Judgement early = JudgeEarly(nearest, density);
  if (early.outcome != Outcome::kUndecided) return early;
  if (nearest.size() < kWitnesses && !all) return {};
  if (!AreNearest(nearest, all, density)) return {Outcome::kTooFewWitnesses, std::nullopt};
  return Count(nearest);
}

bool Ballot::AreNearest(const std::vector<Id>& nearest, bool all, const Density& density) const {
  if (IsSmall(density)) return true;
  const size_t count = std::min(nearest.size(), kWitnesses);
  if (count == 0) return false;
  const double expected = density(key_.DistanceTo(nearest[count - 1]));
  return all ? expected <= kSparsestOfAll * static_cast<double>(count) : !TooSparse(count, expected);
}

Ballot::Judgement Ballot::JudgeAsWitness(const std::vector<Id>& nearest, const Density& density) const {
  if (!settled_ || met_stranger_ || !IsSmall(density)) return {};
  const Receipt& own = *votes_.at(*self_).receipt;
  size_t confirming = 0;
  for (const Id& node : nearest) {
    const Id distance = key_.DistanceTo(node);
    const std::optional<Id> says = OwnerIn(votes_.at(distance));
    if (says && *says != own.owner) return {};
    if (says && distance != *self_) ++confirming;
  }
  if (confirming < EnoughForWitness(density)) return {};
  const Value* const newest = BestAmong(own.owner);
  if (newest == nullptr || DigestOf(newest->item) != own.digest) return {};
  return {Outcome::kDecided, own.owner};
}

Ballot::Judgement Ballot::JudgeEarly(const std::vector<Id>& nearest, const Density& density) const {
  const bool small = IsSmall(density);
  const size_t enough = Enough(density);
  // In a small network the reader's own word counts wherever he lies, though not as one of the number.
  std::optional<Id> owner = small && self_ ? OwnerIn(votes_.at(*self_)) : std::nullopt;
  size_t named = 0;
  for (size_t i = 0; i < nearest.size(); ++i) {
    const Id distance = key_.DistanceTo(nearest[i]);
    if (const std::optional<Id> says = OwnerIn(votes_.at(distance))) {
      if (owner && *owner != *says) return {};
      owner = says;
      ++named;
    }
    const size_t count = i + 1;
    // Unanimous: all who know of an owner name this one, or no one knows of any.
    if ((owner ? named : count) < enough) continue;
    const double expected = density(distance);
    const bool plausible = expected >= kEarlyReach && expected <= kEarlySparsest * static_cast<double>(count);
    if (!small && !plausible) continue;
    if (!owner) return {Outcome::kAbsent, std::nullopt};
    if (HasValueOf(*owner)) return {Outcome::kDecided, owner};
  }
  return {};
}

Ballot::Judgement Ballot::Count(const std::vector<Id>& nearest) const {
  std::map<Id, size_t> by_owner;
  size_t informed = 0;
  for (size_t i = 0; i < std::min(nearest.size(), kWitnesses); ++i) {
    const std::optional<Id> owner = OwnerIn(votes_.at(key_.DistanceTo(nearest[i])));
    if (!owner) continue;
    ++by_owner[*owner];
    ++informed;
  }
  if (by_owner.empty()) return {Outcome::kAbsent, std::nullopt};
  const auto most = std::max_element(by_owner.begin(), by_owner.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  if (by_owner.size() > 1 && most->second < Threshold(informed)) return {Outcome::kConflict, std::nullopt};
  return {Outcome::kDecided, most->first};
}

bool Ballot::disputed() const {
  std::optional<Id> owner;
  for (const auto& [distance, vote] : votes_) {
    const std::optional<Id> says = OwnerIn(vote);
    if (owner && says && *owner != *says) return true;
    if (says) owner = says;
  }
  return false;
}

const Value* Ballot::BestAmong(const std::optional<Id>& owner) const {
  const Value* best = nullptr;
  for (const auto& [distance, vote] : votes_) {
    if (!vote.value || (owner && vote.value->owner != *owner)) continue;
    if (best == nullptr) {
      best = &*vote.value;
      continue;
    }
    const absl::StatusOr<bool> better = type_.Replaces(*best, *vote.value);
    if (better.ok() && *better) best = &*vote.value;
  }
  return best;
}

Ballot::Judgement Ballot::JudgeValues(const std::vector<Id>& nearest, bool all, const Density& density) const {
  size_t values = 0;
  for (const auto& [distance, vote] : votes_) values += vote.value ? 1 : 0;
  if (values == 0) {
    const Judgement early = JudgeEarly(nearest, density);
    if (early.outcome != Outcome::kUndecided) return early;
  }
  const bool asked_enough = all || nearest.size() >= Enough(density);
  if (values >= type_.enough() || (values > 0 && asked_enough)) {
    return {Outcome::kDecided, BestAmong(std::nullopt)->owner};
  }
  if (nearest.size() < kWitnesses && !all) return {};
  return {AreNearest(nearest, all, density) ? Outcome::kAbsent : Outcome::kTooFewWitnesses, std::nullopt};
}

std::optional<Ballot::Answer> Ballot::BestOf(const Id& owner) const {
  const Value* best = BestAmong(type_.first_claim() ? std::optional<Id>(owner) : std::nullopt);
  if (best == nullptr) return std::nullopt;
  Answer answer{*best, 0};
  const Id digest = DigestOf(best->item);
  for (const auto& [distance, vote] : votes_) {
    const bool same = vote.receipt ? vote.receipt->digest == digest : vote.value && vote.value->item == best->item;
    answer.agreeing += same ? 1 : 0;
  }
  return answer;
}

std::vector<Ballot::Witness> Ballot::Receipts() const {
  std::vector<Witness> witnesses;
  for (const auto& [distance, vote] : votes_) {
    if (vote.receipt) witnesses.push_back({key_.DistanceTo(distance), *vote.receipt});
  }
  return witnesses;
}

}  // namespace dotagent::dht
