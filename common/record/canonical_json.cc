#include "common/record/canonical_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/record/utf8.h"

namespace dotagent::record {
namespace {

// ECMAScript's Number::toString (ECMA-262 §6.1.6.1.20), given the shortest digits that read back as the same double.
// The value is 0.DIGITS × 10^point.
std::string LayOut(absl::string_view digits, int point) {
  const int count = static_cast<int>(digits.size());
  if (count <= point && point <= 21) return absl::StrCat(digits, std::string(static_cast<size_t>(point - count), '0'));
  if (0 < point && point <= 21) {
    const auto whole = static_cast<size_t>(point);
    return absl::StrCat(digits.substr(0, whole), ".", digits.substr(whole));
  }
  if (-6 < point && point <= 0) return absl::StrCat("0.", std::string(static_cast<size_t>(-point), '0'), digits);
  const int exponent = point - 1;
  return absl::StrCat(digits.substr(0, 1), count > 1 ? "." : "", digits.substr(1), exponent < 0 ? "e-" : "e+",
                      std::abs(exponent));
}

// Whether a name may stand elsewhere among others in UTF-16 than in bytes.
bool HasHighCharacters(absl::string_view name) {
  return std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) >= 0xee; });
}

// Orders valid UTF-8 by UTF-16 code units. That is the order of the bytes, but for characters above U+FFFF (lead bytes
// F0–F4), whose surrogates D800–DFFF come before U+E000–U+FFFF (lead bytes EE and EF).
bool LessInUtf16(absl::string_view a, absl::string_view b) {
  const auto [x, y] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (x == a.end() || y == b.end()) return x == a.end() && y != b.end();
  const auto left = static_cast<unsigned char>(*x);
  const auto right = static_cast<unsigned char>(*y);
  if ((left >= 0xf0) != (right >= 0xf0) && left >= 0xee && right >= 0xee) return left >= 0xf0;
  return left < right;
}

class Writer {
 public:
  absl::Status Write(const Json& value, int depth);
  std::string Take() && { return std::move(out_); }

 private:
  absl::Status WriteObject(const Json& object, int depth);
  absl::Status WriteArray(const Json& array, int depth);
  absl::Status WriteString(absl::string_view text);
  absl::Status WriteInteger(const Json& value);

  std::string out_;
};

absl::Status Writer::Write(const Json& value, int depth) {
  switch (value.type()) {
    case Json::value_t::null:
      out_ += "null";
      return absl::OkStatus();
    case Json::value_t::boolean:
      out_ += value.get<bool>() ? "true" : "false";
      return absl::OkStatus();
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return WriteInteger(value);
    case Json::value_t::number_float: {
      const auto text = CanonicalNumber(value.get<double>());
      if (!text.ok()) return text.status();
      out_ += *text;
      return absl::OkStatus();
    }
    case Json::value_t::string:
      return WriteString(value.get_ref<const std::string&>());
    case Json::value_t::array:
      return WriteArray(value, depth + 1);
    case Json::value_t::object:
      return WriteObject(value, depth + 1);
    default:
      return absl::InvalidArgumentError("a value is no JSON (binary or discarded)");
  }
}

absl::Status TooDeep() {
  return absl::InvalidArgumentError(
      absl::StrCat("JSON is nested more than ", kMaxJsonDepth, " levels deep; flatten it"));
}

absl::Status Writer::WriteObject(const Json& object, int depth) {
  if (depth > kMaxJsonDepth) return TooDeep();
  const auto& members = object.get_ref<const Json::object_t&>();  // sorted by their bytes
  std::vector<const Json::object_t::value_type*> sorted;
  sorted.reserve(members.size());
  bool resort = false;
  for (const auto& member : members) {
    sorted.push_back(&member);
    resort |= HasHighCharacters(member.first);
  }
  if (resort) {
    std::sort(sorted.begin(), sorted.end(),
              [](const auto* a, const auto* b) { return LessInUtf16(a->first, b->first); });
  }
  out_ += '{';
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (i > 0) out_ += ',';
    if (const absl::Status status = WriteString(sorted[i]->first); !status.ok()) return status;
    out_ += ':';
    if (const absl::Status status = Write(sorted[i]->second, depth); !status.ok()) return status;
  }
  out_ += '}';
  return absl::OkStatus();
}

absl::Status Writer::WriteArray(const Json& array, int depth) {
  if (depth > kMaxJsonDepth) return TooDeep();
  out_ += '[';
  for (size_t i = 0; i < array.size(); ++i) {
    if (i > 0) out_ += ',';
    if (const absl::Status status = Write(array[i], depth); !status.ok()) return status;
  }
  out_ += ']';
  return absl::OkStatus();
}

// RFC 8785 §3.2.2.2.
absl::Status Writer::WriteString(absl::string_view text) {
  if (!IsValidUtf8(text)) return absl::InvalidArgumentError("a JSON string is not valid UTF-8");
  constexpr char kHex[] = "0123456789abcdef";
  out_ += '"';
  size_t plain = 0;  // what needs no escape goes in one piece
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\') continue;
    absl::StrAppend(&out_, text.substr(plain, i - plain));
    plain = i + 1;
    switch (c) {
      case '"':
        out_ += "\\\"";
        break;
      case '\\':
        out_ += "\\\\";
        break;
      case '\b':
        out_ += "\\b";
        break;
      case '\t':
        out_ += "\\t";
        break;
      case '\n':
        out_ += "\\n";
        break;
      case '\f':
        out_ += "\\f";
        break;
      case '\r':
        out_ += "\\r";
        break;
      default:
        absl::StrAppend(&out_, "\\u00", c >= 0x10 ? "1" : "0", std::string(1, kHex[c & 0xf]));
    }
  }
  absl::StrAppend(&out_, text.substr(plain));
  out_ += '"';
  return absl::OkStatus();
}

absl::Status Writer::WriteInteger(const Json& value) {
  const bool is_unsigned = value.is_number_unsigned();
  const std::string text = is_unsigned ? absl::StrCat(value.get<uint64_t>()) : absl::StrCat(value.get<int64_t>());
  const double rounded =
      is_unsigned ? static_cast<double>(value.get<uint64_t>()) : static_cast<double>(value.get<int64_t>());
  const auto canonical = CanonicalNumber(rounded);
  if (!canonical.ok()) return canonical.status();
  if (*canonical != text) return UnsafeInteger(text);
  out_ += text;
  return absl::OkStatus();
}

}  // namespace

absl::Status UnsafeInteger(absl::string_view literal) {
  return absl::InvalidArgumentError(absl::StrCat("the integer ", literal.substr(0, 40),
                                                 " is beyond 2^53, so that a reader may see another; write it ",
                                                 "as a string"));
}

absl::StatusOr<std::string> CanonicalNumber(double value) {
  if (!std::isfinite(value)) return absl::InvalidArgumentError("NaN and infinities are no JSON numbers");
  if (value == 0) return "0";  // -0 too (§3.2.2.3)
  std::array<char, 32> buffer{};
  const double magnitude = std::abs(value);
  const auto written =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), magnitude, std::chars_format::scientific);
  // "d.ddde±xx", or "de±xx".
  const absl::string_view scientific(buffer.data(), static_cast<size_t>(written.ptr - buffer.data()));
  const size_t e = scientific.find('e');
  const absl::string_view fraction = e > 2 ? scientific.substr(2, e - 2) : "";
  absl::string_view exponent_text = scientific.substr(e + 1);
  int exponent = 0;
  if (exponent_text.front() == '+') exponent_text.remove_prefix(1);
  std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
  const std::string digits = absl::StrCat(scientific.substr(0, 1), fraction);
  return absl::StrCat(value < 0 ? "-" : "", LayOut(digits, exponent + 1));
}

absl::StatusOr<std::string> CanonicalJson(const Json& value) {
  Writer writer;
  if (const absl::Status status = writer.Write(value, 0); !status.ok()) return status;
  return std::move(writer).Take();
}

}  // namespace dotagent::record
