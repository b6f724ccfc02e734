#include "common/base/toml.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"

namespace dotagent {
namespace {

constexpr size_t kMaxValues = 10'000;  // of one array

bool IsBare(char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; }

class Parser {
 public:
  explicit Parser(absl::string_view text) : rest_(text) {}

  absl::StatusOr<std::vector<TomlEntry>> Parse() {
    std::vector<TomlEntry> entries;
    for (SkipBlank(); !rest_.empty(); SkipBlank()) {
      ASSIGN_OR_RETURN(TomlEntry entry, ParseEntry());
      const auto same = [&](const TomlEntry& other) { return other.key == entry.key; };
      if (std::any_of(entries.begin(), entries.end(), same)) {
        return Error(absl::StrCat("'", entry.key, "' is given twice"));
      }
      entries.push_back(std::move(entry));
    }
    return entries;
  }

 private:
  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", line_, ": ", what));
  }

  void SkipSpaces() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t')) rest_.remove_prefix(1);
  }

  void SkipComment() {
    if (rest_.empty() || rest_.front() != '#') return;
    rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
  }

  bool TakeNewline() {
    if (!absl::ConsumePrefix(&rest_, "\r\n") && !absl::ConsumePrefix(&rest_, "\n")) return false;
    ++line_;
    return true;
  }

  // Spaces, comments and line ends.
  void SkipBlank() {
    do {
      SkipSpaces();
      SkipComment();
    } while (TakeNewline());
  }

  absl::StatusOr<TomlEntry> ParseEntry() {
    if (rest_.front() == '[') return Error("tables ([name]) are not used here; write plain 'option = value' lines");
    TomlEntry entry;
    entry.line = line_;
    ASSIGN_OR_RETURN(entry.key, ParseKey());
    SkipSpaces();
    if (!absl::ConsumePrefix(&rest_, "=")) return Error(absl::StrCat("expected '=' after '", entry.key, "'"));
    SkipSpaces();
    if (absl::ConsumePrefix(&rest_, "[")) {
      entry.is_array = true;
      ASSIGN_OR_RETURN(entry.values, ParseArray());
    } else {
      ASSIGN_OR_RETURN(std::string value, ParseValue());
      entry.values.push_back(std::move(value));
    }
    SkipSpaces();
    SkipComment();
    if (!rest_.empty() && !TakeNewline()) return Error("expected the end of the line after the value");
    return entry;
  }

  absl::StatusOr<std::string> ParseKey() {
    if (rest_.front() == '"') return ParseBasicString();
    if (rest_.front() == '\'') return ParseLiteralString();
    const auto* end = std::find_if_not(rest_.begin(), rest_.end(), IsBare);
    std::string key(rest_.begin(), end);
    if (key.empty()) return Error("expected an option's name");
    rest_.remove_prefix(key.size());
    return key;
  }

  absl::StatusOr<std::string> ParseValue() {
    if (rest_.empty()) return Error("expected a value");
    if (rest_.front() == '"') return ParseBasicString();
    if (rest_.front() == '\'') return ParseLiteralString();
    const auto* end =
        std::find_if_not(rest_.begin(), rest_.end(), [](char c) { return IsBare(c) || c == '+' || c == '.'; });
    std::string word(rest_.begin(), end);
    const absl::string_view digits = absl::StripPrefix(absl::StripPrefix(word, "-"), "+");
    const bool is_integer = !digits.empty() && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit);
    if (word != "true" && word != "false" && !is_integer) {
      return Error("expected a string in quotes, a whole number, true, false, or an array of these");
    }
    rest_.remove_prefix(word.size());
    return word;
  }

  absl::StatusOr<std::vector<std::string>> ParseArray() {
    std::vector<std::string> values;
    for (SkipBlank(); !absl::ConsumePrefix(&rest_, "]"); SkipBlank()) {
      if (values.size() == kMaxValues) return Error(absl::StrCat("an array may hold ", kMaxValues, " values"));
      ASSIGN_OR_RETURN(std::string value, ParseValue());
      values.push_back(std::move(value));
      SkipBlank();
      if (!absl::ConsumePrefix(&rest_, ",") && (rest_.empty() || rest_.front() != ']')) {
        return Error("expected ',' or ']' in the array");
      }
    }
    return values;
  }

  absl::StatusOr<std::string> ParseLiteralString() {
    rest_.remove_prefix(1);
    const size_t end = rest_.find_first_of("'\n");
    if (end == absl::string_view::npos || rest_[end] != '\'') return Error("the string has no closing '");
    std::string value(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    return value;
  }

  absl::StatusOr<std::string> ParseBasicString() {
    rest_.remove_prefix(1);
    std::string value;
    while (!rest_.empty() && rest_.front() != '\n') {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return value;
      if (c != '\\') {
        value.push_back(c);
        continue;
      }
      constexpr absl::string_view kEscapes = "\"\\bfnrt";
      constexpr absl::string_view kMeanings = "\"\\\b\f\n\r\t";
      const size_t escape = rest_.empty() ? absl::string_view::npos : kEscapes.find(rest_.front());
      if (escape == absl::string_view::npos) {
        return Error("unknown escape in a string; use \\\" \\\\ \\b \\f \\n \\r \\t, or a 'literal' string");
      }
      value.push_back(kMeanings[escape]);
      rest_.remove_prefix(1);
    }
    return Error("the string has no closing \"");
  }

  absl::string_view rest_;
  size_t line_ = 1;
};

}  // namespace

absl::StatusOr<std::vector<TomlEntry>> ParseToml(absl::string_view text) { return Parser(text).Parse(); }

}  // namespace dotagent
