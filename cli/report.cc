#include "cli/report.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/exit_status.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/record/utf8.h"

namespace dotagent::cli {
namespace {

std::string ToText(const nlohmann::ordered_json& value) {
  return value.is_string() ? Printable(value.get_ref<const std::string&>())
                           : value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// Characters, not bytes, so that UTF-8 lines up.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// Bytes of the character that `text` begins with; 0 if it is a control character (those of eight bits too, which
// terminals obey as well) or not UTF-8.
size_t PrintableSize(absl::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return lead < 0x20 || lead == 0x7f ? 0 : 1;
  const absl::string_view character = text.substr(0, lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);
  const bool control = lead == 0xc2 && character.size() == 2 && static_cast<unsigned char>(character[1]) < 0xa0;
  return control || !record::IsValidUtf8(character) ? 0 : character.size();
}

}  // namespace

void Report::Add(const std::string& key, const std::string& label, nlohmann::ordered_json value) {
  if (!label.empty()) {
    if (value.is_array()) {
      bool first = true;
      for (const auto& element : value) lines_.emplace_back(std::exchange(first, false) ? label : "", ToText(element));
      if (value.empty()) lines_.emplace_back(label, "none");
    } else {
      lines_.emplace_back(label, ToText(value));
    }
  }
  object_[key] = std::move(value);
}

void Report::Print(bool json) const {
  if (json) {
    std::puts(object_.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  } else {
    size_t width = 0;
    for (const auto& [label, value] : lines_) width = std::max(width, Width(label));
    for (const auto& [label, value] : lines_) {
      std::puts(absl::StrCat(label, std::string(width - Width(label) + 2, ' '), value).c_str());
    }
  }
  std::fflush(stdout);
}

int PrintStatement(bool json, const std::string& statement) {
  if (json) {
    Report report;
    report.Add("statement", "", Base64Encode(statement));
    report.Print(true);
  } else {
    std::fwrite(statement.data(), 1, statement.size(), stdout);
  }
  return kOk;
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&line, row[i]);
      if (i + 1 < row.size()) line.append(widths[i] - Width(row[i]) + 2, ' ');
    }
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

int PrintInvalid(bool json, const absl::Status& status) {
  const std::string message(status.message());
  if (json) {
    Report report;
    report.Add("valid", "", false);
    report.Add("reason", "", ReasonOf(status));
    report.Add("error", "", message);
    report.Print(true);
  } else {
    std::fprintf(stderr, "not valid: %s\n", Printable(message).c_str());
  }
  return kFailed;
}

std::string Printable(absl::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t size = PrintableSize(text);
    if (size > 0) {
      absl::StrAppend(&out, text.substr(0, size));
    } else {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(text.front()));
    }
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return out;
}

}  // namespace dotagent::cli
