#include "common/dht/value_store.h"

#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"

namespace dotagent::dht {
namespace {

constexpr absl::string_view kValuePrefix = "dht/value/";
constexpr absl::string_view kOwnerPrefix = "dht/owner/";
constexpr absl::string_view kClaimPrefix = "dht/claim/";
constexpr absl::string_view kRevokedPrefix = "dht/revoked/";
constexpr char kFormat = 1;
constexpr size_t kOwnerSize = crypto::kPublicKeySize;
// Claims outlive values, by up to 30 days.
constexpr size_t kClaimsPerValue = 4;
// A value that keeps being offered is not rewritten more often than this.
constexpr absl::Duration kTouchInterval = absl::Minutes(5);

std::string KindAndKey(ValueKind kind, const Id& key) {
  return absl::StrCat(static_cast<int>(kind), "/", HexEncode(key.bytes()));
}
std::string ValueKey(ValueKind kind, const Id& key) { return absl::StrCat(kValuePrefix, KindAndKey(kind, key)); }
std::string OwnerKey(absl::string_view owner, ValueKind kind, const Id& key) {
  return absl::StrCat(kOwnerPrefix, HexEncode(owner), "/", KindAndKey(kind, key));
}
std::string ClaimKey(const Id& key) { return absl::StrCat(kClaimPrefix, HexEncode(key.bytes())); }
std::string RevokedKey(absl::string_view owner) { return absl::StrCat(kRevokedPrefix, HexEncode(owner)); }

void AppendTime(absl::Time time, std::string* out) {
  const auto millis = time == absl::InfiniteFuture() ? std::numeric_limits<uint64_t>::max()
                                                     : static_cast<uint64_t>(absl::ToUnixMillis(time));
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(millis >> shift));
}

absl::Time TakeTime(absl::string_view* bytes) {
  uint64_t millis = 0;
  for (size_t i = 0; i < 8; ++i) millis = millis << 8 | static_cast<uint8_t>((*bytes)[i]);
  bytes->remove_prefix(8);
  return millis == std::numeric_limits<uint64_t>::max() ? absl::InfiniteFuture()
                                                        : absl::FromUnixMillis(static_cast<int64_t>(millis));
}

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(
      absl::StatusCode::kDataLoss, reason::kStorage,
      absl::StrCat("the data folder holds a ", what, " in a form that this version does not know; restore a backup"));
}

std::string EncodeHeld(const HeldValue& held) {
  std::string out(1, kFormat);
  AppendTime(held.value.timestamp, &out);
  AppendTime(held.value.expires, &out);
  AppendTime(held.received, &out);
  absl::StrAppend(&out, held.value.owner, held.value.bytes);
  return out;
}

absl::StatusOr<HeldValue> DecodeHeld(ValueKind kind, const Id& key, absl::string_view bytes) {
  if (bytes.size() < 1 + 3 * 8 + kOwnerSize || bytes[0] != kFormat) return Damaged("value");
  bytes.remove_prefix(1);
  HeldValue held;
  held.value.kind = kind;
  held.value.key = key;
  held.value.timestamp = TakeTime(&bytes);
  held.value.expires = TakeTime(&bytes);
  held.received = TakeTime(&bytes);
  held.value.owner = std::string(bytes.substr(0, kOwnerSize));
  held.value.bytes = std::string(bytes.substr(kOwnerSize));
  return held;
}

// The kind and key at the end of a table's key.
absl::StatusOr<std::pair<ValueKind, Id>> ParseKindAndKey(absl::string_view table_key) {
  constexpr size_t kHexKey = kIdBits / 4;
  if (table_key.size() < kHexKey + 2) return Damaged("value's key");
  const char kind = table_key[table_key.size() - kHexKey - 2];
  if (kind != '1' && kind != '2') return Damaged("value's key");
  ASSIGN_OR_RETURN(const std::string bytes, HexDecode(table_key.substr(table_key.size() - kHexKey)));
  ASSIGN_OR_RETURN(const Id key, Id::FromBytes(bytes));
  return std::make_pair(static_cast<ValueKind>(kind - '0'), key);
}

absl::Status Full(absl::string_view what, size_t limit) {
  return ErrorWithReason(
      absl::StatusCode::kResourceExhausted, reason::kLimit,
      absl::StrCat("this node keeps at most ", limit, " ", what, " and has as many; other nodes may have room"));
}

}  // namespace

ValueStore::ValueStore(storage::Store* store, size_t max_values) : store_(store), max_values_(max_values) {
  health_ = store_->Scan(kOwnerPrefix, "", [this](absl::string_view, absl::string_view) { return ++values_ > 0; });
  health_.Update(
      store_->Scan(kClaimPrefix, "", [this](absl::string_view, absl::string_view) { return ++claims_ > 0; }));
}

absl::StatusOr<std::optional<HeldValue>> ValueStore::Load(ValueKind kind, const Id& key) const {
  const absl::StatusOr<std::string> bytes = store_->Get(ValueKey(kind, key));
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  RETURN_IF_ERROR(bytes.status());
  ASSIGN_OR_RETURN(HeldValue held, DecodeHeld(kind, key, *bytes));
  return held;
}

absl::StatusOr<std::optional<ValueStore::Claim>> ValueStore::LoadClaim(const Id& key) const {
  const absl::StatusOr<std::string> stored = store_->Get(ClaimKey(key));
  if (absl::IsNotFound(stored.status())) return std::nullopt;
  RETURN_IF_ERROR(stored.status());
  absl::string_view bytes = *stored;
  if (bytes.size() != 1 + 8 + kOwnerSize || bytes[0] != kFormat) return Damaged("claim");
  bytes.remove_prefix(1);
  Claim claim;
  claim.newest = TakeTime(&bytes);
  claim.owner = std::string(bytes);
  return claim;
}

absl::StatusOr<bool> ValueStore::CheckClaim(const Value& value, absl::Time now, storage::Batch* batch) const {
  ASSIGN_OR_RETURN(const std::optional<Claim> claim, LoadClaim(value.key));
  if (claim && claim->owner != value.owner && now - claim->newest < kClaimLifetime) {
    return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kNameTaken,
                           "another key holds this name; choose another name, or sign with the key that holds it");
  }
  if (claim && claim->owner == value.owner && value.timestamp < claim->newest) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, reason::kSuperseded,
        absl::StrCat("a record of ", absl::FormatTime(claim->newest, absl::UTCTimeZone()),
                     " has been stored before, newer than this one of ",
                     absl::FormatTime(value.timestamp, absl::UTCTimeZone()), "; sign one with the current time"));
  }
  if (!claim && claims_ >= max_values_ * kClaimsPerValue) return Full("names", max_values_ * kClaimsPerValue);
  std::string bytes(1, kFormat);
  AppendTime(value.timestamp, &bytes);
  absl::StrAppend(&bytes, value.owner);
  batch->Put(ClaimKey(value.key), bytes);
  return !claim.has_value();
}

absl::StatusOr<size_t> ValueStore::Evict(absl::string_view owner, storage::Batch* batch) const {
  size_t evicted = 0;
  const std::string prefix = absl::StrCat(kOwnerPrefix, HexEncode(owner), "/");
  RETURN_IF_ERROR(store_->Scan(prefix, prefix, [&](absl::string_view key, absl::string_view) {
    batch->Delete(key);
    batch->Delete(absl::StrCat(kValuePrefix, key.substr(prefix.size())));
    ++evicted;
    return true;
  }));
  return evicted;
}

absl::Status ValueStore::Store(const Value& value, absl::Time now) {
  RETURN_IF_ERROR(health_);
  const ValueType& type = TypeOf(value.kind);
  if (!type.revokes_owner() && IsRevoked(value.owner)) {
    return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                           "the key that signed this value is revoked; make a new key");
  }
  ASSIGN_OR_RETURN(const std::optional<HeldValue> held, Load(value.kind, value.key));
  storage::Batch batch;
  bool new_claim = false;
  if (type.first_claim()) {
    ASSIGN_OR_RETURN(new_claim, CheckClaim(value, now, &batch));
  }
  if (held && held->value.bytes == value.bytes) {
    Touch(value.kind, value.key, now);
    return absl::OkStatus();
  }
  if (held && held->value.owner == value.owner) {
    ASSIGN_OR_RETURN(const bool replaces, type.Replaces(held->value, value));
    if (!replaces) return absl::OkStatus();
  }
  size_t left = values_;
  if (held) {
    batch.Delete(OwnerKey(held->value.owner, value.kind, value.key));
    --left;
  }
  if (type.revokes_owner() && !held) {
    ASSIGN_OR_RETURN(const size_t evicted, Evict(value.owner, &batch));
    left -= evicted;
    batch.Put(RevokedKey(value.owner), "");
  }
  if (left >= max_values_) return Full("values", max_values_);
  batch.Put(ValueKey(value.kind, value.key), EncodeHeld({value, now}));
  batch.Put(OwnerKey(value.owner, value.kind, value.key), "");
  RETURN_IF_ERROR(store_->Write(batch, storage::Durability::kSync));
  values_ = left + 1;
  if (new_claim) ++claims_;
  return absl::OkStatus();
}

absl::StatusOr<HeldValue> ValueStore::Get(ValueKind kind, const Id& key, absl::Time now) const {
  ASSIGN_OR_RETURN(std::optional<HeldValue> held, Load(kind, key));
  if (!held || held->value.expires <= now) return TypeOf(kind).Absent();
  return *std::move(held);
}

bool ValueStore::IsRevoked(absl::string_view owner) const { return store_->Get(RevokedKey(owner)).ok(); }

void ValueStore::Touch(ValueKind kind, const Id& key, absl::Time now) {
  absl::StatusOr<std::optional<HeldValue>> held = Load(kind, key);
  if (!held.ok() || !held->has_value() || now - (*held)->received < kTouchInterval) return;
  (*held)->received = now;
  // Only saves work later: losing it costs one more round of copies.
  store_->Put(ValueKey(kind, key), EncodeHeld(**held), storage::Durability::kBuffered).IgnoreError();
}

absl::StatusOr<ValueStore::Page> ValueStore::Sweep(absl::string_view from, size_t limit, absl::Time now) {
  Page page;
  storage::Batch expired;
  size_t visited = 0;
  size_t deleted = 0;
  absl::Status status;
  RETURN_IF_ERROR(store_->Scan(kValuePrefix, from, [&](absl::string_view table_key, absl::string_view bytes) {
    if (visited++ == limit) {
      page.next = std::string(table_key);
      return false;
    }
    const auto place = ParseKindAndKey(table_key);
    absl::StatusOr<HeldValue> held = place.ok() ? DecodeHeld(place->first, place->second, bytes) : place.status();
    if (!held.ok()) {
      status = held.status();
      return false;
    }
    if (held->value.expires > now) {
      page.values.push_back(*std::move(held));
    } else {
      expired.Delete(table_key);
      expired.Delete(OwnerKey(held->value.owner, place->first, place->second));
      ++deleted;
    }
    return true;
  }));
  RETURN_IF_ERROR(status);
  if (!expired.empty()) RETURN_IF_ERROR(store_->Write(expired, storage::Durability::kBuffered));
  values_ -= deleted;
  return page;
}

absl::StatusOr<std::string> ValueStore::SweepClaims(absl::string_view from, size_t limit, absl::Time now) {
  std::string next;
  storage::Batch lapsed;
  size_t visited = 0;
  size_t deleted = 0;
  RETURN_IF_ERROR(store_->Scan(kClaimPrefix, from, [&](absl::string_view table_key, absl::string_view bytes) {
    if (visited++ == limit) {
      next = std::string(table_key);
      return false;
    }
    if (bytes.size() != 1 + 8 + kOwnerSize) return true;
    bytes.remove_prefix(1);
    if (now - TakeTime(&bytes) >= kClaimLifetime) {
      lapsed.Delete(table_key);
      ++deleted;
    }
    return true;
  }));
  if (!lapsed.empty()) RETURN_IF_ERROR(store_->Write(lapsed, storage::Durability::kBuffered));
  claims_ -= deleted;
  return next;
}

}  // namespace dotagent::dht
