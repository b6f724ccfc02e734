#include "common/dht/lookup.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <utility>

namespace dotagent::dht {
namespace {

// Of the nodes heard of but not asked, only the nearest matter.
constexpr size_t kMaxCandidates = kMaxLookupCalls + 10 * kBucketSize;
// Nodes that are this many times farther than the wanted ones should reach are not asked before the paths have ended.
constexpr double kEagerReach = 2;
// How many of its nearest a path asks.
constexpr size_t kPathWidth = 3;

}  // namespace

Lookup::Lookup(const Id& self, const Id& target, const std::vector<Contact>& seeds, const LookupOptions& options,
               Density density)
    : self_(self), target_(target), options_(options), density_(std::move(density)), wanted_(options.wanted) {
  Add(seeds, kBucketSize, 1, 0);
  std::vector<Candidate*> nearest;
  for (Candidate& candidate : candidates_) nearest.push_back(&candidate);
  Deal(nearest);
}

void Lookup::Deal(const std::vector<Candidate*>& candidates) {
  first_path_ = awaited_on_.size();
  const size_t paths = std::min({options_.paths, candidates.size(), kMaxPaths - first_path_});
  awaited_on_.resize(first_path_ + paths);
  if (paths == 0) return;
  for (size_t i = 0; i < candidates.size(); ++i) candidates[i]->known_to |= PathSet{1} << (first_path_ + i % paths);
}

Lookup::Half Lookup::DistanceTo(const Id& id) const {
  return {target_.Head() ^ id.Head(), target_.SecondWord() ^ id.SecondWord()};
}

Lookup::Candidates::iterator Lookup::PlaceOf(const Half& distance, size_t near) {
  const auto nearer = [](const Candidate& candidate, const Half& wanted) { return candidate.distance < wanted; };
  // The place is in [first, last]: the steps double until that holds.
  size_t first = near < candidates_.size() && nearer(candidates_[near], distance) ? near + 1 : 0;
  size_t last = first == 0 ? std::min(near, candidates_.size()) : candidates_.size();
  for (size_t step = 1; first > 0 && first + step < last; step *= 2) {
    if (!nearer(candidates_[first + step - 1], distance)) {
      last = first + step - 1;
    } else {
      first += step;
    }
  }
  return std::lower_bound(candidates_.begin() + static_cast<std::ptrdiff_t>(first),
                          candidates_.begin() + static_cast<std::ptrdiff_t>(last), distance, nearer);
}

void Lookup::Add(const std::vector<Contact>& contacts, size_t count, uint32_t hop, PathSet known_to) {
  size_t near = 0;
  for (size_t i = 0; i < std::min(contacts.size(), count); ++i) near = Add(contacts[i], hop, known_to, near);
}

size_t Lookup::Add(const Contact& contact, uint32_t hop, PathSet known_to, size_t near) {
  if (contact.addresses.empty()) return near;
  if (contact.id == self_) return near;
  const Half distance = DistanceTo(contact.id);
  const auto place = PlaceOf(distance, near);
  const auto position = static_cast<size_t>(place - candidates_.begin());
  if (place != candidates_.end() && place->distance == distance) {
    place->known_to |= known_to;
    return position;
  }
  Candidate candidate{.distance = distance,
                      .contact = static_cast<uint32_t>(contacts_.size()),
                      .known_to = known_to,
                      .hop = static_cast<uint16_t>(hop)};
  if (free_contacts_.empty()) {
    contacts_.push_back(contact);
  } else {
    candidate.contact = free_contacts_.back();
    free_contacts_.pop_back();
    contacts_[candidate.contact] = contact;
  }
  candidates_.insert(place, candidate);
  if (candidates_.size() > kMaxCandidates) DropFarthest();
  return position;
}

void Lookup::DropFarthest() {
  // At most kMaxLookupCalls have been asked, so one that has not been is among the rest.
  const auto farthest = std::find_if(candidates_.rbegin(), candidates_.rend(),
                                     [](const Candidate& candidate) { return candidate.state == State::kHeardOf; });
  free_contacts_.push_back(farthest->contact);
  candidates_.erase(std::next(farthest).base());
}

void Lookup::Ask(Candidate& candidate, size_t path, std::vector<Contact>* next) {
  candidate.state = State::kAsked;
  candidate.path = static_cast<uint8_t>(path);
  ++awaited_on_[path];
  ++awaited_;
  ++asked_;
  next->push_back(ContactOf(candidate));
}

std::vector<Contact> Lookup::Next() {
  std::vector<Contact> next;
  for (size_t path = first_path_; path < awaited_on_.size() && asked_ < kMaxLookupCalls; ++path) {
    if (awaited_on_[path] > 0) continue;
    if (Candidate* candidate = NextOn(path); candidate != nullptr) Ask(*candidate, path, &next);
  }
  // Once the paths have come to their ends, what they found is all there is to ask.
  AskWanted(next.empty() && awaited_ == 0, &next);
  return next;
}

Lookup::Candidate* Lookup::NextOn(size_t path) {
  size_t settled = 0;
  for (Candidate& candidate : candidates_) {
    if ((candidate.known_to >> path & 1) == 0) continue;
    switch (candidate.state) {
      case State::kHeardOf:
        return &candidate;
      case State::kAsked:
      case State::kAnswered:
        // Whom an earlier wave asked is passed over, as the paper does with all other paths' nodes: those are the liars
        // who captured it, and every new path would end among them again.
        if (candidate.path >= first_path_ && ++settled == kPathWidth) return nullptr;
        break;
      case State::kSilent:
      case State::kFailed:
        break;
    }
  }
  return nullptr;
}

void Lookup::AskWanted(bool whatever_the_density, std::vector<Contact>* next) {
  size_t alive = 0;
  for (Candidate& candidate : candidates_) {
    if (alive == wanted_ || asked_ >= kMaxLookupCalls) return;
    if (candidate.state == State::kFailed || candidate.state == State::kSilent) continue;
    ++alive;
    if (candidate.state != State::kHeardOf) continue;
    const bool near_enough = whatever_the_density || density_(target_.DistanceTo(ContactOf(candidate).id)) <=
                                                         kEagerReach * static_cast<double>(wanted_);
    if (!near_enough) return;
    const auto path = static_cast<size_t>(std::countr_zero(candidate.known_to));
    Ask(candidate, std::min(path, awaited_on_.size() - 1), next);
  }
}

Lookup::Candidate* Lookup::Open(const Id& id) {
  const Half distance = DistanceTo(id);
  const auto place = PlaceOf(distance);
  if (place == candidates_.end() || place->distance != distance) return nullptr;
  return place->state == State::kAsked || place->state == State::kSilent ? &*place : nullptr;
}

void Lookup::Answered(const Id& from, const std::vector<Contact>& nodes) {
  Candidate* candidate = Open(from);
  if (candidate == nullptr) return;
  Silent(from);
  candidate->state = State::kAnswered;
  ++answered_;
  hops_ = std::max<uint32_t>(hops_, candidate->hop);
  const uint32_t hop = candidate->hop + 1U;
  const PathSet path = PathSet{1} << candidate->path;
  // From here on `candidate` moves.
  Add(nodes, kMaxAnswerNodes, hop, path);
}

void Lookup::Failed(const Id& from) {
  Candidate* candidate = Open(from);
  if (candidate == nullptr) return;
  Silent(from);
  candidate->state = State::kFailed;
}

void Lookup::Silent(const Id& from) {
  Candidate* candidate = Open(from);
  if (candidate == nullptr || candidate->state != State::kAsked) return;
  --awaited_on_[candidate->path];
  --awaited_;
  candidate->state = State::kSilent;
}

void Lookup::Want(size_t wanted) { wanted_ = std::max(wanted_, wanted); }

bool Lookup::Widen(const std::vector<Contact>& more) {
  Add(more, more.size(), 1, 0);
  std::vector<Candidate*> unasked;
  if (!exhausted()) {
    // What came from our own table first: the rest may all have come from liars.
    for (const bool own : {true, false}) {
      for (Candidate& candidate : candidates_) {
        if (unasked.size() == kBucketSize) break;
        if (candidate.state == State::kHeardOf && (candidate.hop == 1) == own) unasked.push_back(&candidate);
      }
    }
  }
  Deal(unasked);
  return !unasked.empty();
}

bool Lookup::complete() const {
  return std::none_of(candidates_.begin(), candidates_.end(), [](const Candidate& candidate) {
    return candidate.state == State::kHeardOf || candidate.state == State::kAsked;
  });
}

std::vector<Id> Lookup::Settled() const {
  std::vector<Id> settled;
  for (const Candidate& candidate : candidates_) {
    if (candidate.state == State::kHeardOf || candidate.state == State::kAsked) break;
    if (candidate.state == State::kAnswered) settled.push_back(ContactOf(candidate).id);
  }
  return settled;
}

std::vector<Contact> Lookup::Nearest(size_t count) const {
  std::vector<Contact> nearest;
  for (const Candidate& candidate : candidates_) {
    if (nearest.size() == count) break;
    if (candidate.state == State::kAnswered) nearest.push_back(ContactOf(candidate));
  }
  return nearest;
}

uint32_t Lookup::agreeing_paths() const {
  const auto nearest = std::find_if(candidates_.begin(), candidates_.end(),
                                    [](const Candidate& candidate) { return candidate.state == State::kAnswered; });
  return nearest == candidates_.end() ? 0 : static_cast<uint32_t>(std::popcount(nearest->known_to));
}

}  // namespace dotagent::dht
