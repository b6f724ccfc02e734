// JSON in one form: RFC 8785, the JSON Canonicalization Scheme (JCS), over I-JSON (RFC 7493) input.
//
// What is signed must have one spelling. Defends against parsers that disagree: duplicate member names, invalid UTF-8,
// lone surrogates, a byte-order mark and numbers that a double cannot hold are refused, not repaired; depth is bounded,
// so that nesting cannot exhaust the stack.
//
// Numbers are doubles, as RFC 8785 wants, and a value does not depend on how its number was written: 1, 1.0 and 10e-1
// all parse to the integer 1. An integer literal beyond 2^53 is accepted only in the form in which a double of that
// size is written (295147905179352830000 is, 9007199254740993 is not): readers with big integers and readers with
// doubles would see different values otherwise. That is stricter than I-JSON, which only warns.
//
//   ASSIGN_OR_RETURN(const Json value, ParseStrictJson(R"({"b": 2.0, "a": [1e2]})"));
//   ASSIGN_OR_RETURN(const std::string text, CanonicalJson(value));  // {"a":[100],"b":2}
#ifndef DOTAGENT_COMMON_RECORD_CANONICAL_JSON_H_
#define DOTAGENT_COMMON_RECORD_CANONICAL_JSON_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent::record {

using Json = nlohmann::json;

inline constexpr int kMaxJsonDepth = 32;

// Strict parse of one value; the caller has checked the size. InvalidArgument (no reason: the caller knows what the
// text should have been) says what is wrong and where, in printable text of bounded length.
//
// Every number that is whole and within ±2^53 becomes number_integer, every other one number_float.
[[nodiscard]] absl::StatusOr<Json> ParseStrictJson(absl::string_view text);

// RFC 8785 §3.2: members sorted by UTF-16 code units, ECMAScript number forms, minimal escapes, no white space.
// InvalidArgument for NaN, infinities, invalid UTF-8, integers beyond 2^53 (as above) and nesting over kMaxJsonDepth.
// ParseStrictJson reads every result back as an equal value.
[[nodiscard]] absl::StatusOr<std::string> CanonicalJson(const Json& value);

// A number alone, as ECMAScript writes it (RFC 8785 §3.2.2.3). InvalidArgument for NaN and infinities.
[[nodiscard]] absl::StatusOr<std::string> CanonicalNumber(double value);

// The refusal of an integer literal beyond 2^53.
[[nodiscard]] absl::Status UnsafeInteger(absl::string_view literal);

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_CANONICAL_JSON_H_
