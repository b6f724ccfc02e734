#include "common/dht/lookup.h"

#include <algorithm>
#include <iterator>

namespace dotagent::dht {
namespace {
// Of the nodes heard of but not asked, only the nearest matter.
constexpr size_t kMaxCandidates = kMaxLookupCalls + 3 * kBucketSize;
}  // namespace

Lookup::Lookup(const Id& self, const Id& target, const std::vector<Contact>& seeds) : self_(self), target_(target) {
  for (const Contact& seed : seeds) Add(seed, 1);
}

void Lookup::Add(const Contact& contact, uint32_t hop) {
  if (contact.addresses.empty()) return;
  const Id id = Id::OfNode(contact.key);
  if (id == self_) return;
  const auto [added, is_new] = candidates_.try_emplace(target_.DistanceTo(id), Candidate{contact, hop});
  if (!is_new) return;
  added->second.contact.id = id;
  if (candidates_.size() <= kMaxCandidates) return;
  // At most kMaxLookupCalls have been asked, so one that has not been is among the rest.
  for (auto farthest = std::prev(candidates_.end());; --farthest) {
    if (farthest->second.state == State::kHeardOf) {
      candidates_.erase(farthest);
      return;
    }
  }
}

std::vector<Contact> Lookup::Next() {
  std::vector<Contact> next;
  size_t alive = 0;
  for (auto& [distance, candidate] : candidates_) {
    if (awaited_ >= kConcurrency || asked_ >= kMaxLookupCalls || alive == kBucketSize) break;
    if (candidate.state == State::kFailed) continue;
    ++alive;
    if (candidate.state != State::kHeardOf) continue;
    candidate.state = State::kAsked;
    ++awaited_;
    ++asked_;
    next.push_back(candidate.contact);
  }
  return next;
}

Lookup::Candidate* Lookup::Open(const Id& id) {
  const auto found = candidates_.find(target_.DistanceTo(id));
  if (found == candidates_.end()) return nullptr;
  Candidate& candidate = found->second;
  return candidate.state == State::kAsked || candidate.state == State::kSilent ? &candidate : nullptr;
}

void Lookup::Answered(const Id& from, const std::vector<Contact>& nodes) {
  Candidate* candidate = Open(from);
  if (candidate == nullptr) return;
  if (candidate->state == State::kAsked) --awaited_;
  candidate->state = State::kAnswered;
  ++answered_;
  hops_ = std::max(hops_, candidate->hop);
  const uint32_t hop = candidate->hop + 1;
  for (size_t i = 0; i < std::min(nodes.size(), kBucketSize); ++i) Add(nodes[i], hop);
}

void Lookup::Failed(const Id& from) {
  Candidate* candidate = Open(from);
  if (candidate == nullptr) return;
  if (candidate->state == State::kAsked) --awaited_;
  candidate->state = State::kFailed;
}

void Lookup::Silent(const Id& from) {
  Candidate* candidate = Open(from);
  if (candidate == nullptr || candidate->state != State::kAsked) return;
  --awaited_;
  candidate->state = State::kSilent;
}

bool Lookup::NearestAnswered(size_t count) const {
  size_t answered = 0;
  for (const auto& [distance, candidate] : candidates_) {
    if (answered == count) return true;
    switch (candidate.state) {
      case State::kAnswered:
        ++answered;
        break;
      case State::kFailed:
        break;
      case State::kAsked:
      case State::kSilent:
        return false;
      case State::kHeardOf:
        if (!exhausted()) return false;
        break;
    }
  }
  return true;
}

std::vector<Contact> Lookup::Nearest(size_t count) const {
  std::vector<Contact> nearest;
  for (const auto& [distance, candidate] : candidates_) {
    if (nearest.size() == count) break;
    if (candidate.state == State::kAnswered) nearest.push_back(candidate.contact);
  }
  return nearest;
}

}  // namespace dotagent::dht
