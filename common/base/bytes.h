// Byte strings and their text forms.
//
// Bytes travel through dotagent as std::string (owned) and absl::string_view (borrowed), as in Protocol Buffers; a
// value that must not linger in memory is a crypto::SecretBytes instead.
//
// The decoders are strict, because their input comes from strangers and is often part of something signed: one
// value has exactly one accepted text form. (absl's own decoders skip white space and accept missing padding.)
//
//   ASSIGN_OR_RETURN(std::string key, Base64Decode(record["publicKey"]));
#ifndef DOTAGENT_COMMON_BASE_BYTES_H_
#define DOTAGENT_COMMON_BASE_BYTES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent {

// Lower-case hexadecimal, two digits a byte.
[[nodiscard]] std::string HexEncode(absl::string_view bytes);

// Accepts either case; refuses an odd length and any other character.
[[nodiscard]] absl::StatusOr<std::string> HexDecode(absl::string_view text);

// RFC 4648 §4: standard alphabet, with padding.
[[nodiscard]] std::string Base64Encode(absl::string_view bytes);

// Refuses white space, missing padding, the URL alphabet and non-zero trailing bits (RFC 4648 §3.5), so that
// Base64Encode(*Base64Decode(t)) == t for every t that it accepts.
[[nodiscard]] absl::StatusOr<std::string> Base64Decode(absl::string_view text);

// Compares in time that depends on the lengths only, for secrets and authenticators.
[[nodiscard]] bool ConstantTimeEquals(absl::string_view a, absl::string_view b);

}  // namespace dotagent

#endif  // DOTAGENT_COMMON_BASE_BYTES_H_
