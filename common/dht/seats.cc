#include "common/dht/seats.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace dotagent::dht {

Id Seats::LotOf(const Slot& slot) const {
  // A SHA-256 is always the right size.
  return *Id::FromBytes(crypto::Sha256(absl::StrCat(self_.bytes(), slot.key.bytes(), slot.owner.bytes())));
}

absl::StatusOr<std::optional<Slot>> Seats::WhoGivesWay(const Slot& newcomer, absl::Time now) const {
  const auto found = by_key_.find({newcomer.kind, newcomer.key});
  if (found == by_key_.end()) return std::nullopt;
  const Owners& owners = found->second;
  if (owners.size() < kSeats || owners.contains(newcomer.owner)) return std::nullopt;
  struct Candidate {
    absl::Time since;
    Id lot;
    Id owner;
  };
  std::vector<Candidate> candidates;
  for (const auto& [owner, seat] : owners) {
    const Slot slot{newcomer.kind, newcomer.key, owner};
    if (seat.expires <= now) return slot;
    candidates.push_back({seat.since, LotOf(slot), owner});
  }
  const auto senior_end = candidates.begin() + kSeniorSeats;
  std::nth_element(candidates.begin(), senior_end, candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.since, a.lot) < std::tie(b.since, b.lot);
  });
  const auto last = std::max_element(senior_end, candidates.end(),
                                     [](const Candidate& a, const Candidate& b) { return a.lot < b.lot; });
  if (LotOf(newcomer) < last->lot) return Slot{newcomer.kind, newcomer.key, last->owner};
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         absl::StrCat("this node keeps the values of ", kSeats,
                                      " owners under one key, and lots have decided for others; other nodes may have "
                                      "room, and there will be some when others' values expire"));
}

std::optional<absl::Time> Seats::Since(const Slot& slot) const {
  const auto owners = by_key_.find({slot.kind, slot.key});
  if (owners == by_key_.end()) return std::nullopt;
  const auto seat = owners->second.find(slot.owner);
  if (seat == owners->second.end()) return std::nullopt;
  return seat->second.since;
}

void Seats::Leave(const Slot& slot) {
  const auto owners = by_key_.find({slot.kind, slot.key});
  if (owners == by_key_.end()) return;
  owners->second.erase(slot.owner);
  if (owners->second.empty()) by_key_.erase(owners);
}

}  // namespace dotagent::dht
