// Unsigned varints (LEB128), as Protocol Buffers and the libp2p specifications write them: lengths before messages on
// streams. (The muxer's integers are QUIC varints; see common/session/frame.h.)
#ifndef DOTAGENT_COMMON_BASE_VARINT_H_
#define DOTAGENT_COMMON_BASE_VARINT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent {

void AppendVarint(uint64_t value, std::string* out);

struct Varint {
  uint64_t value = 0;
  size_t size = 0;  // bytes that it took
};

// Reads a varint from the front of `bytes`. std::nullopt: more bytes are needed. Refuses one over 9 bytes or not in its
// shortest form.
[[nodiscard]] absl::StatusOr<std::optional<Varint>> ReadVarint(absl::string_view bytes);

// `message` behind its length.
[[nodiscard]] std::string WithLength(absl::string_view message);

// Takes one length-prefixed message from the front of `buffer`. std::nullopt: more bytes are needed. A length over
// `max_size` is refused as soon as it has been read, before anything is allocated for it.
[[nodiscard]] absl::StatusOr<std::optional<std::string>> TakeLengthPrefixed(std::string* buffer, size_t max_size);

}  // namespace dotagent

#endif  // DOTAGENT_COMMON_BASE_VARINT_H_
