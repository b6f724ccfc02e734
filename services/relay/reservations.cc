#include "services/relay/reservations.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"

namespace dotagent::relay_service {
namespace {
constexpr size_t kMaxPerKey = 2;
}  // namespace

absl::StatusOr<Reservations::Made> Reservations::Make(const crypto::PublicKey& key, Holder holder, absl::Time now) {
  const auto held = by_key_.find(key);
  if (held != by_key_.end() && held->second.size() >= kMaxPerKey) {
    End(held->second.front(),
        ErrorWithReason(absl::StatusCode::kAborted, reason::kSuperseded, "this node has made newer reservations"));
  }
  if (reservations_.size() >= max_) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("this relay holds its ", max_, " reservations; use another one"));
  }
  const Made made{++last_id_, now + lifetime_};
  reservations_.emplace(made.id, Reservation{key, std::move(holder), made.expires});
  by_key_[key].push_back(made.id);
  return made;
}

void Reservations::Release(uint64_t id) {
  const auto found = reservations_.find(id);
  if (found == reservations_.end()) return;
  auto& ids = by_key_[found->second.key];
  ids.erase(std::remove(ids.begin(), ids.end(), id), ids.end());
  if (ids.empty()) by_key_.erase(found->second.key);
  reservations_.erase(found);
}

absl::Status Reservations::Tell(const crypto::PublicKey& target, const relay::v1::Incoming& incoming) {
  const auto held = by_key_.find(target);
  if (held == by_key_.end()) {
    return ErrorWithReason(absl::StatusCode::kNotFound, reason::kNoReservation,
                           absl::StrCat(crypto::PeerIdFromKey(target), " holds no reservation at this relay"));
  }
  if (reservations_.at(held->second.back()).holder.incoming(incoming)) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         absl::StrCat(crypto::PeerIdFromKey(target), " has too many callers waiting; try again later"));
}

void Reservations::End(uint64_t id, const absl::Status& why) {
  const auto ended = std::move(reservations_.at(id).holder.ended);
  Release(id);
  ended(why);
}

void Reservations::EndAll(const crypto::PublicKey& key, const absl::Status& why) {
  const auto held = by_key_.find(key);
  if (held == by_key_.end()) return;
  const std::deque<uint64_t> ids = held->second;
  for (const uint64_t id : ids) End(id, why);
}

void Reservations::EndAll(const absl::Status& why) {
  std::vector<uint64_t> ids;
  for (const auto& [id, _] : reservations_) ids.push_back(id);
  for (const uint64_t id : ids) End(id, why);
}

void Reservations::Expire(absl::Time now) {
  std::vector<uint64_t> expired;
  for (const auto& [id, reservation] : reservations_) {
    if (reservation.expires <= now) expired.push_back(id);
  }
  for (const uint64_t id : expired) {
    End(id, ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kNoReservation,
                            "the reservation has run out; make a new one"));
  }
}

}  // namespace dotagent::relay_service
