// The names that stand in certificates: .agent names, the URIs made of them, and trust domains.
//
// Defends against text that would mean something else inside a URI or beside others: every character is one of a few.
#ifndef DOTAGENT_COMMON_IDENTITY_CERTIFICATE_NAMES_H_
#define DOTAGENT_COMMON_IDENTITY_CERTIFICATE_NAMES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace dotagent::identity {

inline constexpr absl::string_view kAgentUriScheme = "agent://";

// InvalidArgument (BAD_NAME) unless `name` is a .agent name in its normal form: lower-case LDH labels of 1 to 63
// characters, the last one "agent", 253 in all. (record/name.h has the type; it is above this room.)
[[nodiscard]] absl::Status CheckAgentName(absl::string_view name);

// InvalidArgument unless `domain` is a SPIFFE trust domain: 1 to 253 lower-case letters, digits, '.', '-', '_'.
[[nodiscard]] absl::Status CheckTrustDomain(absl::string_view domain);

// agent://alice.agent
[[nodiscard]] std::string AgentUri(absl::string_view name);

// spiffe://TRUST-DOMAIN/agent/alice: the name without ".agent".
[[nodiscard]] std::string SpiffeId(absl::string_view trust_domain, absl::string_view name);

// The common name of a trust domain's root certificate: "TRUST-DOMAIN root", the domain cut to 40 characters.
[[nodiscard]] std::string RegistrarName(absl::string_view trust_domain);

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_CERTIFICATE_NAMES_H_
