#include "common/identity/certificate.h"

#include <openssl/objects.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"
#include "common/crypto/check.h"
#include "common/crypto/hash.h"
#include "common/crypto/openssl.h"
#include "common/identity/agent_id.h"
#include "common/identity/certificate_builder.h"

namespace dotagent::identity {
namespace {

using crypto::CheckAlways;
using crypto::PkeyPtr;
using crypto::X509Ptr;
using RequestPtr = std::unique_ptr<X509_REQ, crypto::OpenSslFree<X509_REQ_free>>;

constexpr size_t kMaxRequest = 4096;
constexpr size_t kMaxName = 253;
constexpr size_t kMaxSerial = 20;
constexpr absl::Duration kClockSkew = absl::Minutes(5);
constexpr absl::Duration kRootLifetime = absl::Hours(24 * 3650);

absl::Status BadRequest(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadStatement, message);
}

PkeyPtr PrivateKey(const crypto::SigningKey& key) {
  PkeyPtr pkey(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, key.seed().data(), key.seed().size()));
  CheckAlways(pkey != nullptr, "OpenSSL does not take an Ed25519 key");
  return pkey;
}

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

bool IsLowerDns(absl::string_view text, absl::string_view also) {
  return !text.empty() && text.size() <= kMaxName && std::all_of(text.begin(), text.end(), [&also](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || absl::StrContains(also, c);
  });
}

// Only that the name cannot break out of the URIs that it is written into; record/name.h knows all the rules.
absl::Status CheckName(absl::string_view name) {
  if (!IsLowerDns(name, "-.") || !absl::EndsWith(name, ".agent") || name.size() <= 6 || name.front() == '.' ||
      absl::StrContains(name, "..")) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadName,
                           "a certificate is for a lower-case name such as alice.agent");
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const IssuerOptions& options) {
  // The characters of a SPIFFE trust domain, so that no domain can break out of a URI.
  if (!IsLowerDns(options.trust_domain, "-._")) {
    return absl::InvalidArgumentError(
        "a trust domain has 1 to 253 lower-case letters, digits, dots, hyphens and underscores");
  }
  if (options.leaf_lifetime < absl::Minutes(1) || options.leaf_lifetime > kRootLifetime) {
    return absl::InvalidArgumentError("certificates must live for at least a minute and at most 10 years");
  }
  return absl::OkStatus();
}

absl::Status CheckRequest(absl::string_view csr_der, const crypto::PublicKey& subject_key) {
  if (csr_der.size() > kMaxRequest) {
    return BadRequest("the certificate request is over 4 KiB");
  }
  const unsigned char* at = crypto::OpenSslBytes(csr_der);
  const unsigned char* const end = at + csr_der.size();
  const RequestPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(csr_der.size())));
  if (request == nullptr || at != end) {
    return BadRequest(absl::StrCat("this is no PKCS#10 request in DER: ", crypto::TakeOpenSslError()));
  }
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  if (RawKeyOf(key) != subject_key.bytes()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kKeyMismatch,
                           "the certificate request is for another key than the one that was proved");
  }
  if (X509_REQ_verify(request.get(), key) != 1) {
    crypto::TakeOpenSslError();
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadSignature,
                           "the certificate request is not signed by its own key");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> MakeCertificateRequest(const crypto::SigningKey& key, absl::string_view name) {
  RETURN_IF_ERROR(CheckName(name));
  const PkeyPtr pkey = PrivateKey(key);
  const RequestPtr request(X509_REQ_new());
  CheckAlways(request != nullptr && X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                  X509_REQ_set_subject_name(request.get(), MakeName(name).get()) == 1 &&
                  X509_REQ_set_pubkey(request.get(), pkey.get()) == 1 &&
                  X509_REQ_sign(request.get(), pkey.get(), nullptr) > 0,
              "OpenSSL cannot make a certificate request");
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  CheckAlways(size > 0, "OpenSSL cannot write a certificate request");
  std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

absl::StatusOr<Issuer> Issuer::Create(const crypto::SigningKey& key, const IssuerOptions& options, absl::Time now) {
  RETURN_IF_ERROR(CheckOptions(options));
  const PkeyPtr pkey = PrivateKey(key);
  const X509NamePtr name = MakeName(absl::StrCat(options.trust_domain.substr(0, 40), " root"));
  AlternativeNames names;
  names.AddUri(absl::StrCat("spiffe://", options.trust_domain));
  CertificateBuilder builder;
  builder.SetSerial(crypto::Sha256(absl::StrCat(key.public_key().bytes(), absl::ToUnixMillis(now))).substr(0, 16));
  builder.SetValidity(now - kClockSkew, now + kRootLifetime);
  builder.SetSubject(name.get());
  builder.SetIssuer(name.get());
  builder.SetKey(pkey.get());
  builder.AddExtension(NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  builder.AddExtension(NID_key_usage, "critical,keyCertSign,cRLSign");
  builder.AddExtension(NID_subject_key_identifier, "hash");
  builder.AddAlternativeNames(names);
  ASSIGN_OR_RETURN(const X509Ptr root, builder.Sign(pkey.get(), nullptr));
  return Issuer(key, options, CertificateToPem(*root));
}

absl::StatusOr<Issuer> Issuer::Load(const crypto::SigningKey& key, const IssuerOptions& options,
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
  return Issuer(key, options, CertificateToPem(*root));
}

std::string Issuer::root_der() const {
  const absl::StatusOr<X509Ptr> root = CertificateFromPem(root_pem_);
  CheckAlways(root.ok(), "an issuer has lost its root certificate");
  return CertificateToDer(**root);
}

absl::StatusOr<std::string> Issuer::Issue(absl::string_view csr_der, const crypto::PublicKey& subject_key,
                                          absl::string_view name, absl::string_view serial, absl::Time now) const {
  RETURN_IF_ERROR(CheckName(name));
  RETURN_IF_ERROR(CheckRequest(csr_der, subject_key));
  if (serial.empty() || serial.size() > kMaxSerial) {
    return absl::InvalidArgumentError("a certificate's serial number has 1 to 20 bytes");
  }
  ASSIGN_OR_RETURN(const X509Ptr root, CertificateFromPem(root_pem_));
  if (!IsInDate(*root, now) || !IsInDate(*root, now + options_.leaf_lifetime)) {
    return absl::FailedPreconditionError(
        "the root certificate would end before the new one; make a new root, and have every agent fetch the trust "
        "bundle");
  }
  const PkeyPtr subject(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, subject_key.data(), crypto::kPublicKeySize));
  CheckAlways(subject != nullptr, "OpenSSL does not take an Ed25519 key");

  AlternativeNames names;
  names.AddUri(absl::StrCat("agent://", name));
  names.AddUri(absl::StrCat("spiffe://", options_.trust_domain, "/agent/", absl::StripSuffix(name, ".agent")));
  names.AddPermanentIdentifier(AgentId::FromFirstKey(subject_key).ToString());
  CertificateBuilder builder;
  builder.SetSerial(serial);
  builder.SetValidity(now - kClockSkew, now + options_.leaf_lifetime);
  builder.SetSubject(MakeName(name).get());
  builder.SetIssuer(X509_get_subject_name(root.get()));
  builder.SetKey(subject.get());
  builder.AddExtension(NID_basic_constraints, "critical,CA:FALSE");
  builder.AddExtension(NID_key_usage, "critical,digitalSignature");
  builder.AddExtension(NID_ext_key_usage, "clientAuth,serverAuth");
  builder.AddExtension(NID_subject_key_identifier, "hash");
  builder.AddExtension(NID_authority_key_identifier, "keyid:always", root.get());
  builder.AddAlternativeNames(names);
  ASSIGN_OR_RETURN(const X509Ptr leaf, builder.Sign(PrivateKey(*key_).get(), nullptr));
  return CertificateToDer(*leaf);
}

}  // namespace dotagent::identity
