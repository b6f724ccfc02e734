#include "common/dht/value_store.h"

#include <algorithm>
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

std::string ValueKey(const Slot& slot) { return SlotKey(kValuePrefix, slot); }
std::string SignerPrefix(const crypto::PublicKey& signer) {
  return absl::StrCat(kSignerPrefix, HexEncode(signer.bytes()), "/");
}
// The slot in the key of a row of the signer table.
absl::StatusOr<Slot> SlotInSignerKey(absl::string_view table_key) {
  constexpr size_t kSigner = kSignerPrefix.size() + 2 * crypto::kPublicKeySize + 1;
  return ParseSlot(table_key.substr(std::min(kSigner, table_key.size())));
}
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

absl::StatusOr<HeldValue> DecodeHeld(const Slot& slot, absl::string_view bytes) {
  if (bytes.size() < kHeaderSize || bytes[0] != kFormat) return Damaged("value");
  bytes.remove_prefix(1);
  HeldValue held;
  held.value.kind = slot.kind;
  held.value.key = slot.key;
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

// A row of the signer table.
struct Row {
  crypto::PublicKey source;
  Seats::Seat seat;  // of many owners' values
};

std::string EncodeRow(const Row& row, bool seated) {
  std::string out(row.source.bytes());
  if (seated) {
    AppendTime(row.seat.since, &out);
    AppendTime(row.seat.expires, &out);
  }
  return out;
}

absl::StatusOr<Row> DecodeRow(absl::string_view bytes, bool seated) {
  if (bytes.size() != crypto::kPublicKeySize + (seated ? 2 * kTimeSize : 0)) return Damaged("value's index");
  Row row;
  ASSIGN_OR_RETURN(row.source, crypto::PublicKey::FromUncheckedBytes(bytes.substr(0, crypto::kPublicKeySize)));
  bytes.remove_prefix(crypto::kPublicKeySize);
  if (seated) {
    row.seat.since = TakeTime(&bytes);
    row.seat.expires = TakeTime(&bytes);
  }
  return row;
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
      claims_(store, self, options_.max_values * kClaimsPerValue),
      seats_(self_) {
  absl::Status damage;
  health_ = store_->Scan(kSignerPrefix, "", [&](absl::string_view table_key, absl::string_view bytes) {
    const auto slot = SlotInSignerKey(table_key);
    damage.Update(slot.status());
    if (!damage.ok()) return false;
    const auto row = DecodeRow(bytes, types_.Of(slot->kind).many_owners());
    damage.Update(row.status());
    if (!damage.ok()) return false;
    NoteAdded(*slot, row->source, row->seat);
    return true;
  });
  health_.Update(damage);
}

std::string ValueStore::SignerKey(const Value& value) const {
  return SlotKey(SignerPrefix(value.signer), types_.SlotOf(value));
}

Slot ValueStore::SlotAt(const Place& place) const {
  const auto& [distance, kind, owner] = place;
  return {kind, self_.DistanceTo(distance), owner};
}

void ValueStore::NoteAdded(const Slot& slot, const crypto::PublicKey& source, const Seats::Seat& seat) {
  NoteGone(slot);
  sources_.emplace(PlaceOf(slot), source);
  ++per_source_[source];
  if (types_.Of(slot.kind).many_owners()) seats_.Take(slot, seat);
}

void ValueStore::NoteGone(const Slot& slot) {
  const auto known = sources_.find(PlaceOf(slot));
  if (known == sources_.end()) return;
  const auto count = per_source_.find(known->second);
  if (--count->second == 0) per_source_.erase(count);
  sources_.erase(known);
  if (types_.Of(slot.kind).many_owners()) seats_.Leave(slot);
}

absl::StatusOr<std::optional<HeldValue>> ValueStore::Load(const Slot& slot) const {
  // Most of what is asked for is not there: a node witnesses more names than it keeps.
  if (health_.ok() && !sources_.contains(PlaceOf(slot))) return std::nullopt;
  const absl::StatusOr<std::string> bytes = store_->Get(ValueKey(slot));
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  RETURN_IF_ERROR(bytes.status());
  ASSIGN_OR_RETURN(HeldValue held, DecodeHeld(slot, *bytes));
  return held;
}

void ValueStore::Delete(const Value& value, storage::Batch* batch) const {
  batch->Delete(ValueKey(types_.SlotOf(value)));
  batch->Delete(SignerKey(value));
}

absl::StatusOr<std::vector<Slot>> ValueStore::EvictSigner(const crypto::PublicKey& signer,
                                                          storage::Batch* batch) const {
  std::vector<Slot> evicted;
  absl::Status status;
  const std::string prefix = SignerPrefix(signer);
  RETURN_IF_ERROR(store_->Scan(prefix, prefix, [&](absl::string_view table_key, absl::string_view) {
    const auto slot = SlotInSignerKey(table_key);
    status.Update(slot.status());
    if (!slot.ok()) return false;
    batch->Delete(table_key);
    batch->Delete(ValueKey(*slot));
    evicted.push_back(*slot);
    return true;
  }));
  RETURN_IF_ERROR(status);
  return evicted;
}

absl::Status ValueStore::CheckQuota(const crypto::PublicKey& source) const {
  if (source == self_key_) return absl::OkStatus();
  const auto count = per_source_.find(source);
  if (count == per_source_.end() || count->second < options_.max_values_per_source) return absl::OkStatus();
  return Full("values of one node", options_.max_values_per_source);
}

absl::StatusOr<std::optional<HeldValue>> ValueStore::MakeSeat(const Value& value, absl::Time now,
                                                              storage::Batch* batch) const {
  if (!types_.Of(value.kind).many_owners()) return std::nullopt;
  ASSIGN_OR_RETURN(const std::optional<Slot> gives_way, seats_.WhoGivesWay(types_.SlotOf(value), now));
  if (!gives_way) return std::nullopt;
  ASSIGN_OR_RETURN(std::optional<HeldValue> held, Load(*gives_way));
  if (!held) return Damaged("value's index");
  Delete(held->value, batch);
  return held;
}

absl::StatusOr<std::optional<HeldValue>> ValueStore::MakeRoom(const Value& value, storage::Batch* batch) const {
  if (sources_.size() < options_.max_values) return std::nullopt;
  const bool is_final = types_.Of(value.kind).revokes_owner();
  for (auto farthest = sources_.rbegin(); farthest != sources_.rend(); ++farthest) {
    const Slot slot = SlotAt(farthest->first);
    if (types_.Of(slot.kind).revokes_owner()) continue;
    if (!is_final && self_.DistanceTo(slot.key) <= self_.DistanceTo(value.key)) break;
    ASSIGN_OR_RETURN(std::optional<HeldValue> held, Load(slot));
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
  const Slot slot = types_.SlotOf(value);
  ASSIGN_OR_RETURN(const std::optional<HeldValue> held, Load(slot));
  bool keeps = keep == Keep::kValue || held.has_value();
  if (held && held->value.item == value.item) {
    Touch(slot, now);
    keeps = false;
  } else if (held && (held->value.owner == value.owner || !type.first_claim())) {
    ASSIGN_OR_RETURN(keeps, type.Replaces(held->value, value));
  }
  std::vector<Slot> gone;
  const Seats::Seat seat{seats_.Since(slot).value_or(now), value.expires};
  if (keeps) {
    if (held) {
      Delete(held->value, &batch);
    } else {
      RETURN_IF_ERROR(CheckQuota(source));
      ASSIGN_OR_RETURN(std::optional<HeldValue> evicted, MakeSeat(value, now, &batch));
      if (!evicted) {
        ASSIGN_OR_RETURN(evicted, MakeRoom(value, &batch));
      }
      if (evicted) gone.push_back(types_.SlotOf(evicted->value));
    }
    if (type.revokes_owner() && !held) {
      ASSIGN_OR_RETURN(const std::vector<Slot> slots, EvictSigner(value.signer, &batch));
      gone.insert(gone.end(), slots.begin(), slots.end());
      batch.Put(RevokedKey(value.signer), "");
    }
    batch.Put(ValueKey(slot), EncodeHeld({value, now}));
    batch.Put(SignerKey(value), EncodeRow({source, seat}, type.many_owners()));
  }
  // A claim alone need not survive the machine, only the process: that of so many witnesses lose it at once is not to
  // be feared, and a sync a witness would be most of what a registration costs.
  const auto durability = keeps ? storage::Durability::kSync : storage::Durability::kBuffered;
  RETURN_IF_ERROR(store_->Write(batch, durability));
  for (const Slot& was : gone) NoteGone(was);
  if (keeps) NoteAdded(slot, source, seat);
  if (!staked) return std::nullopt;
  claims_.Written(*staked);
  return std::move(staked->receipt);
}

absl::StatusOr<HeldValue> ValueStore::Get(ValueKind kind, const Id& key, absl::Time now) const {
  ASSIGN_OR_RETURN(std::optional<HeldValue> held, Load({kind, key, Id()}));
  if (!held || held->value.expires <= now) return types_.Of(kind).Absent();
  return *std::move(held);
}

absl::StatusOr<ValuesAnswer> ValueStore::GetPage(ValueKind kind, const Id& key, const std::optional<Id>& after,
                                                 size_t limit, absl::Time now) const {
  const std::string prefix = absl::StrCat(ValueKey({kind, key, Id()}), "/");
  // Behind `after` itself: no row has a key that only goes on.
  const std::string from = after ? absl::StrCat(prefix, HexEncode(after->bytes()), "/") : prefix;
  ValuesAnswer page;
  size_t size = 0;
  Id last;
  absl::Status status;
  RETURN_IF_ERROR(store_->Scan(prefix, from, [&](absl::string_view table_key, absl::string_view bytes) {
    const auto slot = ParseSlot(table_key.substr(kValuePrefix.size()));
    absl::StatusOr<HeldValue> held = slot.ok() ? DecodeHeld(*slot, bytes) : slot.status();
    if (!held.ok()) {
      status = held.status();
      return false;
    }
    if (held->value.expires <= now) return true;
    size += held->value.item.bytes.size() + held->value.item.proof.size();
    if (page.items.size() == limit || (size > kMaxPageBytes && !page.items.empty())) {
      page.next = last;
      return false;
    }
    page.items.push_back(std::move(held->value.item));
    last = slot->owner;
    return true;
  }));
  RETURN_IF_ERROR(status);
  return page;
}

absl::StatusOr<std::optional<Receipt>> ValueStore::ReceiptFor(ValueKind kind, const Id& key, absl::Time now) const {
  if (!types_.Of(kind).first_claim()) return std::nullopt;
  return claims_.ReceiptFor(kind, key, now);
}

bool ValueStore::IsRevoked(const crypto::PublicKey& signer) const { return store_->Get(RevokedKey(signer)).ok(); }

void ValueStore::Touch(const Slot& slot, absl::Time now) {
  absl::StatusOr<std::optional<HeldValue>> held = Load(slot);
  if (!held.ok() || !held->has_value() || now - (*held)->received < kTouchInterval) return;
  (*held)->received = now;
  // Only saves work later: losing it costs one more round of copies.
  store_->Put(ValueKey(slot), EncodeHeld(**held), storage::Durability::kBuffered).IgnoreError();
}

absl::Status ValueStore::Settle(ValueKind kind, const std::vector<Settlement>& settlements, absl::Time now) {
  storage::Batch batch;
  std::vector<Slot> gone;
  for (const Settlement& settlement : settlements) {
    const Slot slot{kind, settlement.key, Id()};
    const absl::StatusOr<std::optional<HeldValue>> held = Load(slot);
    if (!held.ok() || !claims_.Settle(kind, settlement.key, settlement.winner, settlement.digest, now, &batch).ok()) {
      continue;
    }
    if (!held->has_value() || (*held)->value.owner == settlement.winner) continue;
    Delete((*held)->value, &batch);
    gone.push_back(slot);
  }
  // Lost with the machine, a claim is provisional again, and settled again.
  RETURN_IF_ERROR(store_->Write(batch, storage::Durability::kBuffered));
  for (const Slot& slot : gone) NoteGone(slot);
  return absl::OkStatus();
}

absl::StatusOr<ValueStore::Page> ValueStore::Sweep(absl::string_view from, size_t limit, absl::Time now) {
  Page page;
  storage::Batch expired;
  std::vector<Slot> gone;
  size_t visited = 0;
  absl::Status status;
  RETURN_IF_ERROR(store_->Scan(kValuePrefix, from, [&](absl::string_view table_key, absl::string_view bytes) {
    if (visited++ == limit) {
      page.next = std::string(table_key);
      return false;
    }
    const auto slot = ParseSlot(table_key.substr(kValuePrefix.size()));
    absl::StatusOr<HeldValue> held = slot.ok() ? DecodeHeld(*slot, bytes) : slot.status();
    if (!held.ok()) {
      status = held.status();
      return false;
    }
    if (held->value.expires > now) {
      page.values.push_back(*std::move(held));
    } else {
      Delete(held->value, &expired);
      gone.push_back(*slot);
    }
    return true;
  }));
  RETURN_IF_ERROR(status);
  if (!expired.empty()) RETURN_IF_ERROR(store_->Write(expired, storage::Durability::kBuffered));
  for (const Slot& slot : gone) NoteGone(slot);
  return page;
}

}  // namespace dotagent::dht
