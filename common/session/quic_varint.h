// Variable-length integers of RFC 9000 §16: 0 to 2^62-1 in 1, 2, 4 or 8 bytes, the size in the first two bits. What
// the muxer's frames are made of. (Lengths before messages are protobuf's varints instead: common/base/varint.h.)
#ifndef DOTAGENT_COMMON_SESSION_QUIC_VARINT_H_
#define DOTAGENT_COMMON_SESSION_QUIC_VARINT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace dotagent::session {

inline constexpr uint64_t kMaxQuicVarint = (uint64_t{1} << 62) - 1;

// 1, 2, 4 or 8: what AppendQuicVarint takes for `value`.
[[nodiscard]] size_t QuicVarintSize(uint64_t value);

// The shortest form. `value` must not be over kMaxQuicVarint.
void AppendQuicVarint(uint64_t value, std::string* out);

// Takes one from the front of `in`; std::nullopt, and `in` as it was, if it is cut short. Longer forms than needed are
// taken, as RFC 9000 asks.
[[nodiscard]] std::optional<uint64_t> TakeQuicVarint(absl::string_view* in);

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_QUIC_VARINT_H_
