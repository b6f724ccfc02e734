#include "common/dht/table_codec.h"

#include <cstdint>
#include <limits>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"

namespace dotagent::dht {

std::string TableKey(absl::string_view prefix, ValueKind kind, const Id& key) {
  return absl::StrCat(prefix, static_cast<int>(kind), "/", HexEncode(key.bytes()));
}

absl::StatusOr<std::pair<ValueKind, Id>> ParseTableKey(absl::string_view table_key) {
  constexpr size_t kHexKey = kIdBits / 4;
  if (table_key.size() < kHexKey + 2) return Damaged("value's key");
  const std::optional<ValueKind> kind = KindFromNumber(table_key[table_key.size() - kHexKey - 2] - '0');
  if (!kind) return Damaged("value's key");
  const absl::StatusOr<std::string> bytes = HexDecode(table_key.substr(table_key.size() - kHexKey));
  if (!bytes.ok()) return Damaged("value's key");
  ASSIGN_OR_RETURN(const Id key, Id::FromBytes(*bytes));
  return std::make_pair(*kind, key);
}

std::string SlotKey(absl::string_view prefix, const Slot& slot) {
  std::string table_key = TableKey(prefix, slot.kind, slot.key);
  if (slot.owner != Id()) absl::StrAppend(&table_key, "/", HexEncode(slot.owner.bytes()));
  return table_key;
}

absl::StatusOr<Slot> ParseSlot(absl::string_view suffix) {
  constexpr size_t kWithoutOwner = 2 + kIdBits / 4;
  if (suffix.size() < kWithoutOwner) return Damaged("value's key");
  Slot slot;
  ASSIGN_OR_RETURN(std::tie(slot.kind, slot.key), ParseTableKey(suffix.substr(0, kWithoutOwner)));
  suffix.remove_prefix(kWithoutOwner);
  if (suffix.empty()) return slot;
  if (suffix[0] != '/') return Damaged("value's key");
  const absl::StatusOr<std::string> bytes = HexDecode(suffix.substr(1));
  if (!bytes.ok() || bytes->size() != kIdBits / 8) return Damaged("value's key");
  ASSIGN_OR_RETURN(slot.owner, Id::FromBytes(*bytes));
  return slot;
}

void AppendTime(absl::Time time, std::string* out) {
  const auto millis = time == absl::InfiniteFuture() ? std::numeric_limits<uint64_t>::max()
                                                     : static_cast<uint64_t>(absl::ToUnixMillis(time));
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(millis >> shift));
}

absl::Time TakeTime(absl::string_view* bytes) {
  uint64_t millis = 0;
  for (size_t i = 0; i < kTimeSize; ++i) millis = millis << 8 | static_cast<uint8_t>((*bytes)[i]);
  bytes->remove_prefix(kTimeSize);
  return millis == std::numeric_limits<uint64_t>::max() ? absl::InfiniteFuture()
                                                        : absl::FromUnixMillis(static_cast<int64_t>(millis));
}

Id TakeId(absl::string_view* bytes) {
  const Id id = *Id::FromBytes(bytes->substr(0, kIdBits / 8));
  bytes->remove_prefix(kIdBits / 8);
  return id;
}

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(
      absl::StatusCode::kDataLoss, reason::kStorage,
      absl::StrCat("the data folder holds a ", what, " in a form that this version does not know; restore a backup"));
}

}  // namespace dotagent::dht
