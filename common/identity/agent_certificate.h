// The X.509 certificates that a registrar issues for an agent's key: two profiles (docs/adr/0010), one signature each.
//
//   name   "this key holds this name": the URI agent://alice.agent. For records and whoever reads them;
//          name_certificate.h verifies it.
//   SVID   "this is that workload": the URI spiffe://TRUST-DOMAIN/agent/alice, the only one, as SPIFFE's X509-SVID
//          standard demands. For TLS with stacks that know SPIFFE.
//
// Both are Ed25519, X.509 v3, no CA, and carry the AgentId in hexadecimal as a permanent identifier (RFC 4043,
// otherName 1.3.6.1.5.5.7.8.3; docs/adr/0004). The issuer is the registrar's root (certificate.h).
#ifndef DOTAGENT_COMMON_IDENTITY_AGENT_CERTIFICATE_H_
#define DOTAGENT_COMMON_IDENTITY_AGENT_CERTIFICATE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/identity/agent_id.h"

namespace dotagent::identity {

enum class CertificateProfile { kName, kSvid };

// Whom a certificate is for. That the key is the agent's, and holds the name, is for the caller to check.
struct CertificateSubject {
  crypto::PublicKey key;
  AgentId agent;
  std::string name;  // alice.agent
};

struct CertificateTerms {
  std::string trust_domain;  // the registrar's
  absl::Time not_before;
  absl::Duration lifetime;  // a minute to 10 years
  // 1 to 20 random bytes, so that no two certificates of a registrar share them; the first bit is dropped.
  std::string serial;
};

// The certificate, DER, under 2 KiB. InvalidArgument (BAD_NAME if it is the name) for terms that cannot be; otherwise
// fails only if the signer does. About 100 µs with a key in memory.
[[nodiscard]] absl::StatusOr<std::string> IssueAgentCertificate(CertificateProfile profile,
                                                                const crypto::Signer& registrar,
                                                                const CertificateSubject& subject,
                                                                const CertificateTerms& terms);

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_AGENT_CERTIFICATE_H_
