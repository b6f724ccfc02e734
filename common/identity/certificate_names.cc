#include "common/identity/certificate_names.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"

namespace dotagent::identity {
namespace {

constexpr size_t kMaxName = 253;
constexpr size_t kMaxLabel = 63;

bool IsMadeOf(absl::string_view text, absl::string_view also) {
  return std::all_of(text.begin(), text.end(), [&also](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || absl::StrContains(also, c);
  });
}

bool IsLabel(absl::string_view label) {
  return !label.empty() && label.size() <= kMaxLabel && label.front() != '-' && label.back() != '-' &&
         IsMadeOf(label, "-");
}

}  // namespace

absl::Status CheckAgentName(absl::string_view name) {
  if (name.size() <= kMaxName && absl::EndsWith(name, ".agent")) {
    const std::vector<absl::string_view> labels = absl::StrSplit(name, '.');
    if (std::all_of(labels.begin(), labels.end(), IsLabel)) {
      return absl::OkStatus();
    }
  }
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadName,
                         "a certificate is for a lower-case name such as alice.agent");
}

absl::Status CheckTrustDomain(absl::string_view domain) {
  if (domain.empty() || domain.size() > kMaxName || !IsMadeOf(domain, "-._")) {
    return absl::InvalidArgumentError(
        "a trust domain has 1 to 253 lower-case letters, digits, dots, hyphens and underscores");
  }
  return absl::OkStatus();
}

std::string AgentUri(absl::string_view name) { return absl::StrCat(kAgentUriScheme, name); }

std::string SpiffeId(absl::string_view trust_domain, absl::string_view name) {
  return absl::StrCat("spiffe://", trust_domain, "/agent/", absl::StripSuffix(name, ".agent"));
}

std::string RegistrarName(absl::string_view trust_domain) { return absl::StrCat(trust_domain.substr(0, 40), " root"); }

}  // namespace dotagent::identity
