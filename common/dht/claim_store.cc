#include "common/dht/claim_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/dht/receipt.h"
#include "common/dht/table_codec.h"
#include "common/record/record.h"

namespace dotagent::dht {
namespace {

constexpr absl::string_view kClaimPrefix = "dht/claim/";
constexpr absl::string_view kProvisionalPrefix = "dht/provisional/";
constexpr char kFormat = 2;
constexpr size_t kEncodedSize = 1 + 1 + 2 * kTimeSize + 2 * (kIdBits / 8) + crypto::kSignatureSize;

std::string ClaimKey(ValueKind kind, const Id& key) { return TableKey(kClaimPrefix, kind, key); }
std::string ProvisionalKey(ValueKind kind, const Id& key) { return TableKey(kProvisionalPrefix, kind, key); }

}  // namespace

ClaimStore::ClaimStore(storage::Store* store, const crypto::Signer* signer, size_t max_claims)
    : store_(store), signer_(signer), max_claims_(max_claims) {
  health_ = store_->Scan(kClaimPrefix, "", [this](absl::string_view, absl::string_view) { return ++claims_ > 0; });
}

std::string ClaimStore::Encode(const Claim& claim) {
  std::string out(1, kFormat);
  out.push_back(claim.provisional ? 1 : 0);
  AppendTime(claim.newest, &out);
  AppendTime(claim.receipt.first_seen, &out);
  absl::StrAppend(&out, claim.receipt.owner.bytes(), claim.receipt.digest.bytes(), claim.receipt.signature);
  return out;
}

absl::StatusOr<ClaimStore::Claim> ClaimStore::Decode(absl::string_view bytes) {
  if (bytes.size() != kEncodedSize || bytes[0] != kFormat) return Damaged("claim");
  Claim claim;
  claim.provisional = bytes[1] != 0;
  bytes.remove_prefix(2);
  claim.newest = TakeTime(&bytes);
  claim.receipt.first_seen = TakeTime(&bytes);
  claim.receipt.owner = TakeId(&bytes);
  claim.receipt.digest = TakeId(&bytes);
  claim.receipt.signature = std::string(bytes);
  return claim;
}

absl::StatusOr<std::optional<ClaimStore::Claim>> ClaimStore::Load(ValueKind kind, const Id& key) const {
  const absl::StatusOr<std::string> bytes = store_->Get(ClaimKey(kind, key));
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  RETURN_IF_ERROR(bytes.status());
  ASSIGN_OR_RETURN(Claim claim, Decode(*bytes));
  return claim;
}

absl::StatusOr<ClaimStore::Staked> ClaimStore::Stake(const Value& value, absl::Time now, storage::Batch* batch) const {
  RETURN_IF_ERROR(health_);
  ASSIGN_OR_RETURN(std::optional<Claim> claim, Load(value.kind, value.key));
  const bool is_new = !claim.has_value();
  if (claim && claim->receipt.owner != value.owner) {
    if (now - claim->newest < kClaimLifetime) {
      return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kNameTaken,
                             "another key holds this name; choose another name, or sign with the key that holds it");
    }
    claim.reset();
  }
  if (claim && value.timestamp < claim->newest) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, reason::kSuperseded,
        absl::StrCat("a record of ", absl::FormatTime(claim->newest, absl::UTCTimeZone()),
                     " has been stored before, newer than this one of ",
                     absl::FormatTime(value.timestamp, absl::UTCTimeZone()), "; sign one with the current time"));
  }
  const Id digest = DigestOf(value.item);
  if (claim && claim->receipt.digest == digest) return Staked{std::move(claim->receipt), false};
  if (is_new && claims_ >= max_claims_) {
    return ErrorWithReason(
        absl::StatusCode::kResourceExhausted, reason::kLimit,
        absl::StrCat("this node witnesses at most ", max_claims_, " names and has as many; other nodes may have room"));
  }
  Claim staked;
  staked.newest = value.timestamp;
  staked.provisional = !claim || claim->provisional;
  ASSIGN_OR_RETURN(staked.receipt, SignReceipt(*signer_, value.kind, value.key, value.owner, digest,
                                               claim ? claim->receipt.first_seen : now));
  batch->Put(ClaimKey(value.kind, value.key), Encode(staked));
  if (!claim) batch->Put(ProvisionalKey(value.kind, value.key), "");
  return Staked{std::move(staked.receipt), is_new};
}

absl::StatusOr<std::optional<Receipt>> ClaimStore::ReceiptFor(ValueKind kind, const Id& key, absl::Time now) const {
  ASSIGN_OR_RETURN(std::optional<Witnessed> witnessed, Find(kind, key, now));
  if (!witnessed) return std::nullopt;
  return std::move(witnessed->receipt);
}

absl::StatusOr<std::optional<ClaimStore::Witnessed>> ClaimStore::Find(ValueKind kind, const Id& key,
                                                                      absl::Time now) const {
  ASSIGN_OR_RETURN(std::optional<Claim> claim, Load(kind, key));
  if (!claim || now - claim->newest >= kClaimLifetime) return std::nullopt;
  return Witnessed{std::move(claim->receipt), !claim->provisional};
}

absl::StatusOr<ClaimStore::Page> ClaimStore::Provisional(absl::string_view from, size_t limit) const {
  Page page;
  absl::Status status;
  RETURN_IF_ERROR(store_->Scan(kProvisionalPrefix, from, [&](absl::string_view table_key, absl::string_view) {
    if (page.keys.size() == limit) {
      page.next = std::string(table_key);
      return false;
    }
    const auto place = ParseTableKey(table_key);
    if (!place.ok()) {
      status = place.status();
      return false;
    }
    page.keys.push_back(*place);
    return true;
  }));
  RETURN_IF_ERROR(status);
  return page;
}

absl::Status ClaimStore::Settle(ValueKind kind, const Id& key, const Id& winner, const Id& digest, absl::Time now,
                                storage::Batch* batch) const {
  ASSIGN_OR_RETURN(std::optional<Claim> claim, Load(kind, key));
  if (!claim) {
    batch->Delete(ProvisionalKey(kind, key));
    return absl::OkStatus();
  }
  claim->provisional = false;
  if (claim->receipt.owner != winner) {
    // The record that won was signed before now, but not longer ago than records live.
    claim->newest = now - record::kMaxRecordAge;
    ASSIGN_OR_RETURN(claim->receipt, SignReceipt(*signer_, kind, key, winner, digest, now));
  }
  batch->Delete(ProvisionalKey(kind, key));
  batch->Put(ClaimKey(kind, key), Encode(*claim));
  return absl::OkStatus();
}

absl::StatusOr<std::string> ClaimStore::Sweep(absl::string_view from, size_t limit, absl::Time now) {
  std::string next;
  storage::Batch lapsed;
  size_t visited = 0;
  size_t deleted = 0;
  RETURN_IF_ERROR(store_->Scan(kClaimPrefix, from, [&](absl::string_view table_key, absl::string_view bytes) {
    if (visited++ == limit) {
      next = std::string(table_key);
      return false;
    }
    const absl::StatusOr<Claim> claim = Decode(bytes);
    if (claim.ok() && now - claim->newest >= kClaimLifetime) {
      lapsed.Delete(table_key);
      lapsed.Delete(absl::StrCat(kProvisionalPrefix, table_key.substr(kClaimPrefix.size())));
      ++deleted;
    }
    return true;
  }));
  if (!lapsed.empty()) RETURN_IF_ERROR(store_->Write(lapsed, storage::Durability::kBuffered));
  claims_ -= deleted;
  return next;
}

}  // namespace dotagent::dht
