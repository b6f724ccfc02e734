#include "common/base/toml.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent {
namespace {

absl::StatusOr<std::string> ScalarText(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return absl::StrCat(number->get());
  if (const auto* truth = node.as_boolean()) return std::string(truth->get() ? "true" : "false");
  return absl::InvalidArgumentError("options are strings, integers, true, false, or arrays of these");
}

absl::StatusOr<TomlEntry> ToEntry(std::string key, const toml::node& node) {
  TomlEntry entry{.key = std::move(key), .values = {}, .is_array = node.is_array(), .line = node.source().begin.line};
  if (const toml::array* array = node.as_array()) {
    for (const toml::node& element : *array) {
      ASSIGN_OR_RETURN(entry.values.emplace_back(), ScalarText(element));
    }
  } else {
    ASSIGN_OR_RETURN(entry.values.emplace_back(), ScalarText(node));
  }
  return entry;
}

}  // namespace

absl::StatusOr<std::vector<TomlEntry>> ParseToml(absl::string_view text) {
  const toml::parse_result parsed = toml::parse(std::string_view(text.data(), text.size()));
  if (!parsed) {
    const std::string_view what = parsed.error().description();
    return absl::InvalidArgumentError(
        absl::StrCat("line ", parsed.error().source().begin.line, ": ", absl::string_view(what.data(), what.size())));
  }
  std::vector<TomlEntry> entries;
  for (const auto& [key, node] : parsed.table()) {
    auto entry = ToEntry(std::string(key.str()), node);
    if (!entry.ok())
      return WithContext(entry.status(), absl::StrCat("line ", node.source().begin.line, ": ", std::string(key.str())));
    entries.push_back(*std::move(entry));
  }
  return entries;
}

}  // namespace dotagent
