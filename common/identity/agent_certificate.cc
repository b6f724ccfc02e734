#include "common/identity/agent_certificate.h"

#include <openssl/objects.h>

#include "common/base/status.h"
#include "common/identity/certificate_builder.h"
#include "common/identity/certificate_names.h"

namespace dotagent::identity {
namespace {

constexpr size_t kMaxSerial = 20;
constexpr absl::Duration kMaxLifetime = absl::Hours(24 * 3650);

absl::Status CheckTerms(const CertificateTerms& terms) {
  RETURN_IF_ERROR(CheckTrustDomain(terms.trust_domain));
  if (terms.lifetime < absl::Minutes(1) || terms.lifetime > kMaxLifetime) {
    return absl::InvalidArgumentError("certificates must live for at least a minute and at most 10 years");
  }
  if (terms.serial.empty() || terms.serial.size() > kMaxSerial) {
    return absl::InvalidArgumentError("a certificate's serial number has 1 to 20 bytes");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> IssueAgentCertificate(CertificateProfile profile, const crypto::Signer& registrar,
                                                  const CertificateSubject& subject, const CertificateTerms& terms) {
  RETURN_IF_ERROR(CheckAgentName(subject.name));
  RETURN_IF_ERROR(CheckTerms(terms));
  AlternativeNames names;
  names.AddUri(profile == CertificateProfile::kName ? AgentUri(subject.name)
                                                    : SpiffeId(terms.trust_domain, subject.name));
  names.AddPermanentIdentifier(subject.agent.ToString());
  CertificateBuilder builder;
  builder.SetSerial(terms.serial);
  builder.SetValidity(terms.not_before, terms.not_before + terms.lifetime);
  builder.SetSubject(MakeName(subject.name).get());
  builder.SetIssuer(MakeName(RegistrarName(terms.trust_domain)).get());
  builder.SetKey(subject.key);
  builder.AddExtension(NID_basic_constraints, "critical,CA:FALSE");
  builder.AddExtension(NID_key_usage, "critical,digitalSignature");
  if (profile == CertificateProfile::kSvid) {
    builder.AddExtension(NID_ext_key_usage, "clientAuth,serverAuth");
  }
  builder.AddKeyIdentifiers(subject.key, registrar.public_key());
  builder.AddAlternativeNames(names);
  return builder.Sign(registrar);
}

}  // namespace dotagent::identity
