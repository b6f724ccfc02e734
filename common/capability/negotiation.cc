#include "common/capability/negotiation.h"

#include <optional>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/capability/semantic_version.h"

namespace dotagent::capability {
namespace {

absl::Status CheckForm(absl::string_view what, absl::Span<const std::string> texts) {
  if (texts.size() > kMaxOffered) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                           absl::StrCat(texts.size(), " ", what, "; at most ", kMaxOffered, " may be named"));
  }
  for (const std::string& text : texts) {
    if (text.size() <= kMaxVersionSize) continue;
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, reason::kProtocol,
        absl::StrCat("one of the ", what, " has ", text.size(), " bytes; at most ", kMaxVersionSize, " are allowed"));
  }
  return absl::OkStatus();
}

std::string Listed(absl::Span<const std::string> texts) {
  return texts.empty() ? "none" : absl::CHexEscape(absl::StrJoin(texts, ", "));
}

absl::Status Refused(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kVersion, message);
}

}  // namespace

absl::StatusOr<std::string> ChooseVersion(absl::string_view protocol, absl::Span<const std::string> offered,
                                          absl::Span<const absl::string_view> spoken) {
  RETURN_IF_ERROR(CheckForm("versions", offered));
  std::optional<SemanticVersion> newest;
  for (const std::string& text : offered) {
    auto version = SemanticVersion::Parse(text);
    if (!version.ok() || !absl::c_linear_search(spoken, text)) continue;
    if (!newest || version->Compare(*newest) == std::weak_ordering::greater) newest = *std::move(version);
  }
  if (newest) return newest->text();
  return Refused(absl::StrCat("no common version of ", protocol, ": ", absl::StrJoin(spoken, ", "),
                              " is spoken here, and ", Listed(offered), " was offered; update the older side"));
}

absl::Status CheckFeatures(absl::Span<const std::string> required, absl::Span<const absl::string_view> features) {
  RETURN_IF_ERROR(CheckForm("features", required));
  std::vector<std::string> missing;
  for (const std::string& feature : required) {
    if (!absl::c_linear_search(features, feature)) missing.push_back(feature);
  }
  if (missing.empty()) return absl::OkStatus();
  return Refused(absl::StrCat("there is no ", Listed(missing), " here, only ", absl::StrJoin(features, ", ")));
}

}  // namespace dotagent::capability
