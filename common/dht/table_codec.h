// How dht's tables on disk write their keys and dates. Internal to this room.
#ifndef DOTAGENT_COMMON_DHT_TABLE_CODEC_H_
#define DOTAGENT_COMMON_DHT_TABLE_CODEC_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/dht/types.h"
#include "common/dht/value_type.h"

namespace dotagent::dht {

// `prefix`, the kind's number, a slash, the key in hexadecimal.
[[nodiscard]] std::string TableKey(absl::string_view prefix, ValueKind kind, const Id& key);
// The kind and key at the end of what TableKey made. DataLoss (STORAGE).
[[nodiscard]] absl::StatusOr<std::pair<ValueKind, Id>> ParseTableKey(absl::string_view table_key);

// As TableKey, and a slash and the owner in hexadecimal where the slot has one.
[[nodiscard]] std::string SlotKey(absl::string_view prefix, const Slot& slot);
// What SlotKey made, without the prefix. DataLoss (STORAGE).
[[nodiscard]] absl::StatusOr<Slot> ParseSlot(absl::string_view suffix);

// 8 bytes, milliseconds since 1970, big-endian; all ones: InfiniteFuture.
inline constexpr size_t kTimeSize = 8;
void AppendTime(absl::Time time, std::string* out);
// Cuts it off the front of `bytes`, which must be long enough.
[[nodiscard]] absl::Time TakeTime(absl::string_view* bytes);
// Cuts 32 bytes off the front of `bytes`, which must be long enough.
[[nodiscard]] Id TakeId(absl::string_view* bytes);

// DataLoss (STORAGE): what is on disk was not written by this version.
[[nodiscard]] absl::Status Damaged(absl::string_view what);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_TABLE_CODEC_H_
