#include "common/base/varint.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent {

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

absl::StatusOr<std::optional<Varint>> ReadVarint(absl::string_view bytes) {
  constexpr size_t kMaxSize = 9;  // the libp2p specification's limit: 63 bits
  Varint result;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == kMaxSize) break;
    const auto byte = static_cast<uint8_t>(bytes[i]);
    result.value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) {
      if (byte == 0 && i > 0)
        return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                               "varint is not in its shortest form");
      result.size = i + 1;
      return std::optional<Varint>(result);
    }
  }
  if (bytes.size() >= kMaxSize)
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, "varint is longer than 9 bytes");
  return std::optional<Varint>();
}

std::string WithLength(absl::string_view message) {
  std::string out;
  out.reserve(message.size() + 4);
  AppendVarint(message.size(), &out);
  out.append(message.data(), message.size());
  return out;
}

absl::StatusOr<std::optional<std::string>> TakeLengthPrefixed(std::string* buffer, size_t max_size) {
  ASSIGN_OR_RETURN(const std::optional<Varint> length, ReadVarint(*buffer));
  if (!length) return std::optional<std::string>();
  if (length->value > max_size) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, reason::kTooLarge,
        absl::StrCat("message of ", length->value, " bytes; at most ", max_size, " are allowed here"));
  }
  if (buffer->size() < length->size + length->value) return std::optional<std::string>();
  std::string message;
  if (buffer->size() == length->size + length->value) {  // the usual case: nothing follows, so nothing need be copied
    buffer->erase(0, length->size);
    message.swap(*buffer);
  } else {
    message = buffer->substr(length->size, length->value);
    buffer->erase(0, length->size + length->value);
  }
  return std::optional<std::string>(std::move(message));
}

}  // namespace dotagent
