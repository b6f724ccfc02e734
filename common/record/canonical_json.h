// JSON in one form: RFC 8785, the JSON Canonicalization Scheme (JCS), over I-JSON (RFC 7493) input.
//
// What is signed must have one spelling. Defends against parsers that disagree: duplicate member names, invalid UTF-8,
// lone surrogates and numbers that a double cannot hold are refused, not repaired; depth is bounded, so that nesting
// cannot exhaust the stack.
#ifndef DOTAGENT_COMMON_RECORD_CANONICAL_JSON_H_
#define DOTAGENT_COMMON_RECORD_CANONICAL_JSON_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent::record {

using Json = nlohmann::json;

inline constexpr int kMaxJsonDepth = 32;

// Strict parse; the caller has checked the size. InvalidArgument says what is wrong and where.
[[nodiscard]] absl::StatusOr<Json> ParseStrictJson(absl::string_view text);

// RFC 8785 §3.2: members sorted by UTF-16 code units, ECMAScript number forms, minimal escapes, no white space. Fails
// on NaN, infinities and invalid UTF-8.
[[nodiscard]] absl::StatusOr<std::string> CanonicalJson(const Json& value);

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_CANONICAL_JSON_H_
