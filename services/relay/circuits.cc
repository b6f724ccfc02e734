#include "services/relay/circuits.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/p2p/circuit.h"

namespace dotagent::relay_service {
namespace {

absl::Status Limit(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit, message);
}

}  // namespace

bool Circuits::HasRoom(const crypto::PublicKey& peer) const {
  const auto found = per_peer_.find(peer);
  return found == per_peer_.end() || found->second < limits_.max_per_peer;
}

absl::StatusOr<Circuits::Announced> Circuits::Announce(const crypto::PublicKey& caller, const crypto::PublicKey& target,
                                                       absl::Time now) {
  if (circuits_.size() >= limits_.max_circuits) {
    return Limit(absl::StrCat("this relay carries its ", limits_.max_circuits, " circuits; use another one"));
  }
  for (const crypto::PublicKey& peer : {caller, target}) {
    if (!HasRoom(peer)) {
      return Limit(absl::StrCat(crypto::PeerIdFromKey(peer), " has its ", limits_.max_per_peer,
                                " circuits at this relay; close one, or try again later"));
    }
  }
  Announced announced{++last_id_, random_.Bytes(p2p::kVoucherSize), random_.Bytes(p2p::kVoucherSize),
                      now + kVoucherLifetime};
  circuits_.emplace(announced.id,
                    Circuit{caller, target, announced.expires, {announced.caller_voucher, announced.target_voucher}});
  vouchers_.emplace(announced.caller_voucher, announced.id);
  vouchers_.emplace(announced.target_voucher, announced.id);
  ++per_peer_[caller];
  ++per_peer_[target];
  return announced;
}

absl::StatusOr<Circuits::Claimed> Circuits::Claim(absl::string_view voucher, absl::Time now) {
  const auto found = vouchers_.find(voucher);
  if (found == vouchers_.end() || circuits_.at(found->second).expires <= now) {
    return ErrorWithReason(absl::StatusCode::kNotFound, reason::kNoReservation,
                           "the voucher is unknown, spent or late; ask for a new circuit");
  }
  const uint64_t id = found->second;
  vouchers_.erase(found);
  auto& unclaimed = circuits_.at(id).unclaimed;
  unclaimed.erase(std::remove(unclaimed.begin(), unclaimed.end(), voucher), unclaimed.end());
  return Claimed{id, unclaimed.empty()};
}

void Circuits::Close(uint64_t id) {
  const auto found = circuits_.find(id);
  if (found == circuits_.end()) return;
  for (const std::string& voucher : found->second.unclaimed) vouchers_.erase(voucher);
  Uncount(found->second.caller);
  Uncount(found->second.target);
  circuits_.erase(found);
}

void Circuits::Uncount(const crypto::PublicKey& peer) {
  const auto found = per_peer_.find(peer);
  if (--found->second == 0) per_peer_.erase(found);
}

std::vector<uint64_t> Circuits::Expire(absl::Time now) {
  std::vector<uint64_t> lapsed;
  for (const auto& [id, circuit] : circuits_) {
    if (!circuit.unclaimed.empty() && circuit.expires <= now) lapsed.push_back(id);
  }
  for (const uint64_t id : lapsed) Close(id);
  return lapsed;
}

std::vector<uint64_t> Circuits::Of(const crypto::PublicKey& peer) const {
  std::vector<uint64_t> ids;
  for (const auto& [id, circuit] : circuits_) {
    if (circuit.caller == peer || circuit.target == peer) ids.push_back(id);
  }
  return ids;
}

}  // namespace dotagent::relay_service
