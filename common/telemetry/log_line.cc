#include "common/telemetry/log_line.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace dotagent::telemetry {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

struct CodePoint {
  uint32_t value = 0;
  size_t size = 0;  // bytes; 0: not UTF-8
};

// The code point at the front of `text`, which is not empty. Refuses overlong forms, surrogates and what is beyond
// U+10FFFF (RFC 3629).
CodePoint Decode(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return {first, 1};
  const size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) return {};
  uint32_t value = first & (0x7F >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[size] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return {};
  return {value, size};
}

bool MustEscape(uint32_t c) {
  const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
  const bool separator = c == 0x2028 || c == 0x2029;
  const bool direction =
      c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  return control || separator || direction;
}

void AppendEscaped(absl::string_view text, std::string* out) {
  while (!text.empty()) {
    const CodePoint c = Decode(text);
    if (c.size == 0) {
      out->append(kReplacement.data(), kReplacement.size());
      text.remove_prefix(1);
      continue;
    }
    if (c.value == '"' || c.value == '\\') {
      out->push_back('\\');
      out->push_back(static_cast<char>(c.value));
    } else if (c.value == '\n') {
      out->append("\\n");
    } else if (MustEscape(c.value)) {
      absl::StrAppendFormat(out, "\\u%04x", c.value);
    } else {
      out->append(text.data(), c.size);
    }
    text.remove_prefix(c.size);
  }
}

absl::string_view Name(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "error";
}

void AppendMember(absl::string_view key, absl::string_view value, std::string* out) {
  if (out->size() > 1) out->push_back(',');
  absl::StrAppend(out, QuoteJson(key), ":", QuoteJson(value));
}

bool NeedsQuotes(absl::string_view value) {
  return value.empty() || !std::all_of(value.begin(), value.end(), [](char c) {
           return absl::ascii_isgraph(c) && c != '"' && c != '\\' && c != '=';
         });
}

std::string UtcMillis(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone()); }

}  // namespace

std::string QuoteJson(absl::string_view text) {
  std::string out = "\"";
  AppendEscaped(text, &out);
  out.push_back('"');
  return out;
}

std::string JsonLine(absl::string_view service, absl::Time time, Level level, absl::string_view message,
                     LogFields fields) {
  std::string line = "{";
  AppendMember("time", UtcMillis(time), &line);
  AppendMember("level", Name(level), &line);
  if (!service.empty()) AppendMember("service", service, &line);
  AppendMember("msg", message, &line);
  for (const auto& [key, value] : fields) AppendMember(key, value, &line);
  line.push_back('}');
  return line;
}

std::string TextLine(absl::string_view service, absl::Time time, Level level, absl::string_view message,
                     LogFields fields) {
  std::string line = absl::StrCat(absl::FormatTime("%H:%M:%E3S", time, absl::LocalTimeZone()), " ", Name(level), " ",
                                  service, service.empty() ? "" : ": ");
  AppendEscaped(message, &line);
  for (const auto& [key, value] : fields) {
    absl::StrAppend(&line, " ", key, "=", NeedsQuotes(value) ? QuoteJson(value) : value);
  }
  return line;
}

}  // namespace dotagent::telemetry
