#include "common/record/name.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace dotagent::record {
namespace {

constexpr absl::string_view kSuffix = ".agent";

absl::Status BadName(absl::string_view text, absl::string_view problem) {
  constexpr size_t kShown = 64;
  const absl::string_view dots = text.size() > kShown ? "…" : "";
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kBadName,
      absl::StrCat("\"", absl::CHexEscape(text.substr(0, kShown)), dots, "\" is no .agent name: ", problem));
}

// What is wrong with `label`; empty if nothing is.
absl::string_view LabelProblem(absl::string_view label) {
  if (label.empty()) return "a label is empty; write it as label.agent, with at least one letter or digit a label";
  if (label.size() > kMaxLabelSize) return "a label is over 63 characters; shorten it";
  if (label.front() == '-' || label.back() == '-') return "a label begins or ends with a hyphen; move or remove it";
  for (const char c : label) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-') {
      return "a label may hold letters a–z, digits and hyphens only";
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<Name> Name::Parse(absl::string_view text) {
  if (text.size() > kMaxNameSize) {
    return BadName(text, absl::StrCat("it has ", text.size(), " bytes; at most ", kMaxNameSize, " are allowed"));
  }
  std::string lower = absl::AsciiStrToLower(text);
  if (!absl::EndsWith(lower, kSuffix)) return BadName(text, "it must end with .agent");
  const absl::string_view labels = absl::StripSuffix(lower, kSuffix);
  for (const absl::string_view label : absl::StrSplit(labels, '.')) {
    const absl::string_view problem = LabelProblem(label);
    if (!problem.empty()) return BadName(text, problem);
  }
  return Name(std::move(lower));
}

std::string Name::DhtKey() const { return crypto::Sha256(text_); }

}  // namespace dotagent::record
