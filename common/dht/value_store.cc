#include "common/dht/value_store.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/dht/table_codec.h"

namespace dotagent::dht {
namespace {

constexpr absl::string_view kValuePrefix = "dht/value/";
constexpr absl::string_view kSignerPrefix = "dht/signer/";
constexpr absl::string_view kRevokedPrefix = "dht/revoked/";
constexpr char kFormat = 2;
constexpr size_t kIdSize = kIdBits / 8;
constexpr size_t kProofLengthSize = 2;
constexpr size_t kHeaderSize = 1 + 4 * kTimeSize + kIdSize + crypto::kPublicKeySize + kProofLengthSize;
// Every value is kept by r nodes and witnessed by many more (verdict.h), and claims outlive values by up to 30 days.
constexpr size_t kClaimsPerValue = 8;
// A value that keeps being offered is not rewritten more often than this.
constexpr absl::Duration kTouchInterval = absl::Minutes(5);

std::string ValueKey(ValueKind kind, const Id& key) { return TableKey(kValuePrefix, kind, key); }
std::string SignerPrefix(const crypto::PublicKey& signer) {
  return absl::StrCat(kSignerPrefix, HexEncode(signer.bytes()), "/");
}
std::string SignerKey(const Value& value) { return TableKey(SignerPrefix(value.signer), value.kind, value.key); }
std::string RevokedKey(const crypto::PublicKey& signer) {
  return absl::StrCat(kRevokedPrefix, HexEncode(signer.bytes()));
}

std::string EncodeHeld(const HeldValue& held) {
  const Value& value = held.value;
  std::string out(1, kFormat);
  AppendTime(value.timestamp, &out);
  AppendTime(value.expires, &out);
  AppendTime(held.received, &out);
  AppendTime(value.certified, &out);
  absl::StrAppend(&out, value.owner.bytes(), value.signer.bytes());
  out.push_back(static_cast<char>(value.item.proof.size() >> 8));
  out.push_back(static_cast<char>(value.item.proof.size()));
  absl::StrAppend(&out, value.item.proof, value.item.bytes);
  return out;
}

absl::StatusOr<HeldValue> DecodeHeld(ValueKind kind, const Id& key, absl::string_view bytes) {
  if (bytes.size() < kHeaderSize || bytes[0] != kFormat) return Damaged("value");
  bytes.remove_prefix(1);
  HeldValue held;
  held.value.kind = kind;
  held.value.key = key;
  held.value.timestamp = TakeTime(&bytes);
  held.value.expires = TakeTime(&bytes);
  held.received = TakeTime(&bytes);
  held.value.certified = TakeTime(&bytes);
  held.value.owner = TakeId(&bytes);
  ASSIGN_OR_RETURN(held.value.signer, crypto::PublicKey::FromUncheckedBytes(bytes.substr(0, crypto::kPublicKeySize)));
  bytes.remove_prefix(crypto::kPublicKeySize);
  const size_t proof_size = static_cast<size_t>(static_cast<uint8_t>(bytes[0])) << 8 | static_cast<uint8_t>(bytes[1]);
  bytes.remove_prefix(kProofLengthSize);
  if (bytes.size() < proof_size) return Damaged("value");
  held.value.item.proof = std::string(bytes.substr(0, proof_size));
  held.value.item.bytes = std::string(bytes.substr(proof_size));
  return held;
}

absl::Status Full(absl::string_view what, size_t limit) {
  return ErrorWithReason(
      absl::StatusCode::kResourceExhausted, reason::kLimit,
      absl::StrCat("this node keeps at most ", limit, " ", what, " and has as many; other nodes may have room"));
}

}  // namespace

ValueStore::ValueStore(const crypto::Signer* self, storage::Store* store, ValueStoreOptions options)
    : self_key_(self->public_key()),
      self_(Id::OfNode(self->public_key())),
      store_(store),
      options_(std::move(options)),
      types_(options_.policy),
      claims_(store, self, options_.max_values * kClaimsPerValue) {
  absl::Status damage;
  health_ = store_->Scan(kSignerPrefix, "", [&](absl::string_view table_key, absl::string_view source) {
    const auto place = ParseTableKey(table_key);
    const auto key = crypto::PublicKey::FromUncheckedBytes(source);
    damage.Update(place.status());
    damage.Update(key.status());
    if (!damage.ok()) return false;
    NoteAdded(PlaceOf(place->first, place->second), *key);
    return true;
  });
  health_.Update(damage);
}

void ValueStore::NoteAdded(const Place& place, const crypto::PublicKey& source) {
  NoteGone(place);
  sources_.emplace(place, source);
  ++per_source_[source];
}

void ValueStore::NoteGone(const Place& place) {
  const auto known = sources_.find(place);
  if (known == sources_.end()) return;
  const auto count = per_source_.find(known->second);
  if (--count->second == 0) per_source_.erase(count);
  sources_.erase(known);
}

absl::StatusOr<std::optional<HeldValue>> ValueStore::Load(ValueKind kind, const Id& key) const {
  const absl::StatusOr<std::string> bytes = store_->Get(ValueKey(kind, key));
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  RETURN_IF_ERROR(bytes.status());
  ASSIGN_OR_RETURN(HeldValue held, DecodeHeld(kind, key, *bytes));
  return held;
}

void ValueStore::Delete(const Value& value, storage::Batch* batch) const {
  batch->Delete(ValueKey(value.kind, value.key));
  batch->Delete(SignerKey(value));
}

absl::StatusOr<std::vector<ValueStore::Place>> ValueStore::EvictSigner(const crypto::PublicKey& signer,
                                                                       storage::Batch* batch) const {
  std::vector<Place> evicted;
  absl::Status status;
  const std::string prefix = SignerPrefix(signer);
  RETURN_IF_ERROR(store_->Scan(prefix, prefix, [&](absl::string_view table_key, absl::string_view) {
    const auto place = ParseTableKey(table_key);
    status.Update(place.status());
    if (!place.ok()) return false;
    batch->Delete(table_key);
    batch->Delete(ValueKey(place->first, place->second));
    evicted.push_back(PlaceOf(place->first, place->second));
    return true;
  }));
  RETURN_IF_ERROR(status);
  return evicted;
}

absl::StatusOr<std::optional<HeldValue>> ValueStore::MakeRoom(const Value& value, const crypto::PublicKey& source,
                                                              storage::Batch* batch) const {
  if (source != self_key_) {
    const auto count = per_source_.find(source);
    if (count != per_source_.end() && count->second >= options_.max_values_per_source) {
      return Full("values of one node", options_.max_values_per_source);
    }
  }
  if (sources_.size() < options_.max_values) return std::nullopt;
  const bool is_final = types_.Of(value.kind).revokes_owner();
  for (auto farthest = sources_.rbegin(); farthest != sources_.rend(); ++farthest) {
    const auto& [distance, kind] = farthest->first;
    if (types_.Of(kind).revokes_owner()) continue;
    if (!is_final && distance <= self_.DistanceTo(value.key)) break;
    ASSIGN_OR_RETURN(std::optional<HeldValue> held, Load(kind, self_.DistanceTo(distance)));
    if (!held) return Damaged("value's index");
    Delete(held->value, batch);
    return held;
  }
  return Full("values", options_.max_values);
}

absl::StatusOr<std::optional<Receipt>> ValueStore::Store(const Value& value, Keep keep, const crypto::PublicKey& source,
                                                         absl::Time now) {
  RETURN_IF_ERROR(health_);
  const ValueType& type = types_.Of(value.kind);
  if (!type.revokes_owner() && IsRevoked(value.signer)) {
    return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                           "the key that signed this value is revoked; make a new key");
  }
  storage::Batch batch;
  std::optional<ClaimStore::Staked> staked;
  if (type.first_claim()) {
    ASSIGN_OR_RETURN(staked, claims_.Stake(value, now, &batch));
  }
  ASSIGN_OR_RETURN(const std::optional<HeldValue> held, Load(value.kind, value.key));
  bool keeps = keep == Keep::kValue || held.has_value();
  if (held && held->value.item == value.item) {
    Touch(value.kind, value.key, now);
    keeps = false;
  } else if (held && (held->value.owner == value.owner || !type.first_claim())) {
    ASSIGN_OR_RETURN(keeps, type.Replaces(held->value, value));
  }
  std::vector<Place> gone;
  if (keeps) {
    if (held) {
      Delete(held->value, &batch);
    } else {
      ASSIGN_OR_RETURN(const std::optional<HeldValue> evicted, MakeRoom(value, source, &batch));
      if (evicted) gone.push_back(PlaceOf(evicted->value.kind, evicted->value.key));
    }
    if (type.revokes_owner() && !held) {
      ASSIGN_OR_RETURN(const std::vector<Place> places, EvictSigner(value.signer, &batch));
      gone.insert(gone.end(), places.begin(), places.end());
      batch.Put(RevokedKey(value.signer), "");
    }
    batch.Put(ValueKey(value.kind, value.key), EncodeHeld({value, now}));
    batch.Put(SignerKey(value), source.bytes());
  }
  // A claim alone need not survive the machine, only the process: that of so many witnesses lose it at once is not to
  // be feared, and a sync a witness would be most of what a registration costs.
  const auto durability = keeps ? storage::Durability::kSync : storage::Durability::kBuffered;
  RETURN_IF_ERROR(store_->Write(batch, durability));
  for (const Place& place : gone) NoteGone(place);
  if (keeps) NoteAdded(PlaceOf(value.kind, value.key), source);
  if (!staked) return std::nullopt;
  claims_.Written(*staked);
  return std::move(staked->receipt);
}

absl::StatusOr<HeldValue> ValueStore::Get(ValueKind kind, const Id& key, absl::Time now) const {
  ASSIGN_OR_RETURN(std::optional<HeldValue> held, Load(kind, key));
  if (!held || held->value.expires <= now) return types_.Of(kind).Absent();
  return *std::move(held);
}

absl::StatusOr<std::optional<Receipt>> ValueStore::ReceiptFor(ValueKind kind, const Id& key, absl::Time now) const {
  if (!types_.Of(kind).first_claim()) return std::nullopt;
  return claims_.ReceiptFor(kind, key, now);
}

bool ValueStore::IsRevoked(const crypto::PublicKey& signer) const { return store_->Get(RevokedKey(signer)).ok(); }

void ValueStore::Touch(ValueKind kind, const Id& key, absl::Time now) {
  absl::StatusOr<std::optional<HeldValue>> held = Load(kind, key);
  if (!held.ok() || !held->has_value() || now - (*held)->received < kTouchInterval) return;
  (*held)->received = now;
  // Only saves work later: losing it costs one more round of copies.
  store_->Put(ValueKey(kind, key), EncodeHeld(**held), storage::Durability::kBuffered).IgnoreError();
}

absl::Status ValueStore::Settle(ValueKind kind, const Id& key, const Id& winner, const Id& digest, absl::Time now) {
  storage::Batch batch;
  RETURN_IF_ERROR(claims_.Settle(kind, key, winner, digest, now, &batch));
  ASSIGN_OR_RETURN(const std::optional<HeldValue> held, Load(kind, key));
  const bool loses = held && held->value.owner != winner;
  if (loses) Delete(held->value, &batch);
  // Lost with the machine, the claim is provisional again, and settled again.
  RETURN_IF_ERROR(store_->Write(batch, storage::Durability::kBuffered));
  if (loses) NoteGone(PlaceOf(kind, key));
  return absl::OkStatus();
}

absl::StatusOr<ValueStore::Page> ValueStore::Sweep(absl::string_view from, size_t limit, absl::Time now) {
  Page page;
  storage::Batch expired;
  std::vector<Place> gone;
  size_t visited = 0;
  absl::Status status;
  RETURN_IF_ERROR(store_->Scan(kValuePrefix, from, [&](absl::string_view table_key, absl::string_view bytes) {
    if (visited++ == limit) {
      page.next = std::string(table_key);
      return false;
    }
    const auto place = ParseTableKey(table_key);
    absl::StatusOr<HeldValue> held = place.ok() ? DecodeHeld(place->first, place->second, bytes) : place.status();
    if (!held.ok()) {
      status = held.status();
      return false;
    }
    if (held->value.expires > now) {
      page.values.push_back(*std::move(held));
    } else {
      Delete(held->value, &expired);
      gone.push_back(PlaceOf(place->first, place->second));
    }
    return true;
  }));
  RETURN_IF_ERROR(status);
  if (!expired.empty()) RETURN_IF_ERROR(store_->Write(expired, storage::Durability::kBuffered));
  for (const Place& place : gone) NoteGone(place);
  return page;
}

}  // namespace dotagent::dht
