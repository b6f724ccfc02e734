#include "common/session/quic_varint.h"

#include <cassert>

namespace dotagent::session {

size_t QuicVarintSize(uint64_t value) {
  if (value < (uint64_t{1} << 6)) return 1;
  if (value < (uint64_t{1} << 14)) return 2;
  if (value < (uint64_t{1} << 30)) return 4;
  return 8;
}

void AppendQuicVarint(uint64_t value, std::string* out) {
  assert(value <= kMaxQuicVarint);
  const size_t size = QuicVarintSize(value);
  const uint64_t size_bits = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
  value |= size_bits << (8 * size - 2);
  for (size_t i = size; i > 0; --i) out->push_back(static_cast<char>(value >> (8 * (i - 1))));
}

std::optional<uint64_t> TakeQuicVarint(absl::string_view* in) {
  if (in->empty()) return std::nullopt;
  const auto first = static_cast<uint8_t>(in->front());
  const size_t size = size_t{1} << (first >> 6);
  if (in->size() < size) return std::nullopt;
  uint64_t value = first & 0x3f;
  for (size_t i = 1; i < size; ++i) value = value << 8 | static_cast<uint8_t>((*in)[i]);
  in->remove_prefix(size);
  return value;
}

}  // namespace dotagent::session
