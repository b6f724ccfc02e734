#include "common/record/utf8.h"

#include <cstddef>
#include <cstdint>

namespace dotagent::record {
namespace {

uint8_t ByteAt(absl::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

// Bytes of the character at the front of `text`; 0 if they are no valid one.
size_t CharacterSize(absl::string_view text) {
  const uint8_t lead = ByteAt(text, 0);
  if (lead < 0x80) return 1;
  size_t size = 0;
  uint8_t lowest = 0x80;  // of the second byte
  uint8_t highest = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    size = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    size = 3;
    if (lead == 0xe0) lowest = 0xa0;   // below: overlong
    if (lead == 0xed) highest = 0x9f;  // above: surrogates
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    size = 4;
    if (lead == 0xf0) lowest = 0x90;   // below: overlong
    if (lead == 0xf4) highest = 0x8f;  // above: over U+10FFFF
  } else {
    return 0;
  }
  if (text.size() < size || ByteAt(text, 1) < lowest || ByteAt(text, 1) > highest) return 0;
  for (size_t i = 2; i < size; ++i) {
    if (ByteAt(text, i) < 0x80 || ByteAt(text, i) > 0xbf) return 0;
  }
  return size;
}

}  // namespace

bool IsValidUtf8(absl::string_view text) {
  while (!text.empty()) {
    const size_t size = CharacterSize(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

}  // namespace dotagent::record
