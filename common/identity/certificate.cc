#include "common/identity/certificate.h"

#include <openssl/objects.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/openssl.h"
#include "common/identity/certificate_builder.h"
#include "common/identity/certificate_names.h"
#include "common/identity/certificate_request.h"

namespace dotagent::identity {
namespace {

using crypto::X509Ptr;

constexpr size_t kMaxSerial = 19;
constexpr absl::Duration kClockSkew = absl::Minutes(5);
constexpr absl::Duration kRootLifetime = absl::Hours(24 * 3650);

// The Ed25519 key inside, or 32 zero bytes, which equal no key.
std::string RawKeyOf(const EVP_PKEY* pkey) {
  std::string raw(crypto::kPublicKeySize, '\0');
  size_t size = raw.size();
  if (pkey != nullptr && EVP_PKEY_get_id(pkey) == EVP_PKEY_ED25519) {
    EVP_PKEY_get_raw_public_key(pkey, crypto::OpenSslBytes(raw), &size);
  }
  crypto::TakeOpenSslError();
  return raw;
}

absl::Status CheckOptions(const IssuerOptions& options) {
  RETURN_IF_ERROR(CheckTrustDomain(options.trust_domain));
  if (options.leaf_lifetime < absl::Minutes(1) || options.leaf_lifetime > kRootLifetime) {
    return absl::InvalidArgumentError("certificates must live for at least a minute and at most 10 years");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Issuer> Issuer::Create(const crypto::Signer& key, const IssuerOptions& options, absl::Time now) {
  RETURN_IF_ERROR(CheckOptions(options));
  const X509NamePtr name = MakeName(RegistrarName(options.trust_domain));
  AlternativeNames names;
  names.AddUri(absl::StrCat("spiffe://", options.trust_domain));
  CertificateBuilder builder;
  builder.SetSerial(crypto::Sha256(absl::StrCat(key.public_key().bytes(), absl::ToUnixMillis(now))).substr(0, 16));
  const absl::Time not_before = now - kClockSkew;
  const absl::Time not_after = now + kRootLifetime;
  builder.SetValidity(not_before, not_after);
  builder.SetSubject(name.get());
  builder.SetIssuer(name.get());
  builder.SetKey(key.public_key());
  builder.AddExtension(NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  builder.AddExtension(NID_key_usage, "critical,keyCertSign,cRLSign");
  builder.AddKeyIdentifiers(key.public_key(), key.public_key());
  builder.AddAlternativeNames(names);
  ASSIGN_OR_RETURN(const std::string root, builder.Sign(key));
  return Issuer(key, options,
                {.pem = CertificateToPem(root), .der = root, .not_before = not_before, .not_after = not_after});
}

absl::StatusOr<Issuer> Issuer::Load(const crypto::Signer& key, const IssuerOptions& options,
                                    absl::string_view root_pem) {
  RETURN_IF_ERROR(CheckOptions(options));
  ASSIGN_OR_RETURN(const X509Ptr root, CertificateFromPem(root_pem));
  EVP_PKEY* const root_key = X509_get0_pubkey(root.get());
  if (RawKeyOf(root_key) != key.public_key().bytes() || X509_check_ca(root.get()) != 1 ||
      X509_verify(root.get(), root_key) != 1) {
    crypto::TakeOpenSslError();
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, reason::kKeyMismatch,
        "the root certificate does not belong to this key; bring the right key back, or remove the certificate and "
        "have every agent fetch the new trust bundle");
  }
  return Issuer(key, options,
                {.pem = CertificateToPem(*root),
                 .der = CertificateToDer(*root),
                 .not_before = TimeOf(*X509_get0_notBefore(root.get())),
                 .not_after = TimeOf(*X509_get0_notAfter(root.get()))});
}

absl::StatusOr<IssuedCertificates> Issuer::Issue(absl::string_view csr_der, const CertificateSubject& subject,
                                                 absl::string_view serial, absl::Time now) const {
  ASSIGN_OR_RETURN(const CertificateRequest request, VerifyCertificateRequest(csr_der));
  if (request.key != subject.key) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kKeyMismatch,
                           "the certificate request is for another key than the one that was proved");
  }
  if (serial.empty() || serial.size() > kMaxSerial) {
    return absl::InvalidArgumentError("the random part of a certificate's serial number has 1 to 19 bytes");
  }
  if (now < root_.not_before || now + options_.leaf_lifetime > root_.not_after) {
    return absl::FailedPreconditionError(
        "the root certificate would end before the new one; make a new root, and have every agent fetch the trust "
        "bundle");
  }
  const auto issue = [&](CertificateProfile profile, absl::string_view number) {
    return IssueAgentCertificate(profile, *key_, subject,
                                 {.trust_domain = options_.trust_domain,
                                  .not_before = now - kClockSkew,
                                  .lifetime = kClockSkew + options_.leaf_lifetime,
                                  .serial = absl::StrCat(serial, number)});
  };
  IssuedCertificates issued;
  ASSIGN_OR_RETURN(issued.name_der, issue(CertificateProfile::kName, "\x01"));
  ASSIGN_OR_RETURN(issued.svid_der, issue(CertificateProfile::kSvid, "\x02"));
  return issued;
}

}  // namespace dotagent::identity
