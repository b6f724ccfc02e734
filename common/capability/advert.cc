#include "common/capability/advert.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/identity/statement.h"
#include "dotagent/capability/v1/advert.pb.h"

namespace dotagent::capability {
namespace {

using identity::BadStatement;

constexpr absl::string_view kContext("dotagent capability advert v1\0", 30);

absl::StatusOr<std::vector<SemanticVersion>> ParseAll(const std::vector<std::string>& texts) {
  if (texts.size() > kMaxAdvertVersions) {
    return BadStatement(
        absl::StrCat("a capability advert names at most ", kMaxAdvertVersions, " versions; this one ", texts.size()));
  }
  std::vector<SemanticVersion> versions;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(versions.emplace_back(), SemanticVersion::Parse(text));
  }
  return versions;
}

absl::Status CheckOrder(const std::vector<SemanticVersion>& versions) {
  const auto not_descending = std::adjacent_find(
      versions.begin(), versions.end(),
      [](const SemanticVersion& a, const SemanticVersion& b) { return a.Compare(b) != std::weak_ordering::greater; });
  if (not_descending == versions.end()) return absl::OkStatus();
  return BadStatement(absl::StrCat("its versions must stand once each, the highest first; ", not_descending->text(),
                                   " stands before ", std::next(not_descending)->text()));
}

absl::Status CheckName(const std::string& text) {
  ASSIGN_OR_RETURN(const record::Name name, record::Name::Parse(text));
  if (name.text() == text) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadName,
                         absl::StrCat("a capability advert has its agent's name in lower case; this one has ", text));
}

absl::Status TooLarge(size_t size) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kTooLarge,
      absl::StrCat("a capability advert has at most ", kMaxAdvertSize, " bytes; this one has ", size));
}

}  // namespace

absl::Status CheckCapabilityName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxCapabilityName) {
    return BadStatement(
        absl::StrCat("a capability's name has 1 to ", kMaxCapabilityName, " bytes; this one has ", name.size()));
  }
  const auto fits = [](unsigned char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-'; };
  for (const absl::string_view label : absl::StrSplit(name, '.')) {
    if (label.empty() || label.front() == '-' || label.back() == '-' ||
        !std::all_of(label.begin(), label.end(), fits)) {
      return BadStatement(
          "a capability's name is made of lower-case letters, digits and inner hyphens, with single dots between; "
          "write, say, text.translate-v2");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SignCapabilityAdvert(const crypto::Signer& key, const AdvertFields& fields,
                                                 absl::Time now) {
  ASSIGN_OR_RETURN(std::vector<SemanticVersion> versions, ParseAll(fields.versions));
  std::sort(versions.begin(), versions.end(), [](const SemanticVersion& a, const SemanticVersion& b) {
    return a.Compare(b) == std::weak_ordering::greater;
  });
  v1::CapabilityAdvert advert;
  advert.set_agent_id(std::string(fields.agent.bytes()));
  advert.set_agent_name(fields.agent_name);
  advert.set_capability(fields.capability);
  for (const SemanticVersion& version : versions) advert.add_versions(version.text());
  advert.set_signed_at_ms(absl::ToUnixMillis(now));
  advert.set_expires_at_ms(absl::ToUnixMillis(now + fields.lifetime));
  ASSIGN_OR_RETURN(const identity::v1::SignedStatement statement,
                   identity::SignStatement(key, kContext, advert.SerializeAsString()));
  std::string bytes = statement.SerializeAsString();
  // What no one would take is not handed out.
  RETURN_IF_ERROR(VerifyCapabilityAdvert(bytes, now).status());
  return bytes;
}

absl::StatusOr<CapabilityAdvert> VerifyCapabilityAdvert(absl::string_view statement, absl::Time now) {
  if (statement.size() > kMaxAdvertSize) return TooLarge(statement.size());
  ASSIGN_OR_RETURN(const identity::v1::SignedStatement outer, identity::ParseStatement(statement));
  CapabilityAdvert advert;
  ASSIGN_OR_RETURN(advert.signer, identity::VerifySigner(outer, kContext));
  v1::CapabilityAdvert inner;
  if (!identity::ParseStrictly(outer.payload(), &inner)) {
    return BadStatement("what was signed is no CapabilityAdvert in its canonical form");
  }
  const absl::StatusOr<identity::AgentId> agent = identity::AgentId::FromBytes(inner.agent_id());
  if (!agent.ok()) return BadStatement(agent.status().message());
  advert.agent = *agent;
  RETURN_IF_ERROR(CheckName(inner.agent_name()));
  RETURN_IF_ERROR(CheckCapabilityName(inner.capability()));
  advert.versions.assign(inner.versions().begin(), inner.versions().end());
  ASSIGN_OR_RETURN(const std::vector<SemanticVersion> versions, ParseAll(advert.versions));
  RETURN_IF_ERROR(CheckOrder(versions));
  ASSIGN_OR_RETURN(const identity::Lifetime lifetime,
                   identity::CheckLifetime(inner.signed_at_ms(), inner.expires_at_ms(), kMaxAdvertLifetime, now));
  advert.signed_at = lifetime.signed_at;
  advert.expires = lifetime.expires;
  advert.agent_name = std::move(*inner.mutable_agent_name());
  advert.capability = std::move(*inner.mutable_capability());
  return advert;
}

bool Offers(absl::string_view verified_statement, const VersionRange& range) {
  const absl::StatusOr<identity::v1::SignedStatement> outer = identity::ParseStatement(verified_statement);
  v1::CapabilityAdvert inner;
  if (!outer.ok() || !inner.ParseFromString(outer->payload())) return false;
  return std::any_of(inner.versions().begin(), inner.versions().end(), [&range](const std::string& text) {
    const absl::StatusOr<SemanticVersion> version = SemanticVersion::Parse(text);
    return version.ok() && range.Contains(*version);
  });
}

std::string CapabilityKey(absl::string_view capability) {
  return crypto::Sha256(absl::StrCat("capability:", capability));
}

}  // namespace dotagent::capability
