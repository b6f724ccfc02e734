#include "common/identity/certificate_request.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"
#include "common/crypto/check.h"
#include "common/crypto/openssl.h"
#include "common/identity/certificate_builder.h"
#include "common/identity/certificate_names.h"
#include "common/identity/der.h"
#include "common/identity/statement.h"

namespace dotagent::identity {
namespace {

using crypto::CheckAlways;
using RequestPtr = std::unique_ptr<X509_REQ, crypto::OpenSslFree<X509_REQ_free>>;

// PKCS #9's extensionRequest (1.2.840.113549.1.9.14) and subjectAltName (2.5.29.17).
constexpr absl::string_view kExtensionRequest("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e", 9);
constexpr absl::string_view kSubjectAltName("\x55\x1d\x11", 3);
constexpr uint8_t kUri = der::Primitive(6);

constexpr char kNoRequest[] = "this is no PKCS#10 request for an Ed25519 key in DER";

std::string InfoToDer(X509_REQ* request) {
  unsigned char* der = nullptr;
  const int size = i2d_re_X509_REQ_tbs(request, &der);
  CheckAlways(size > 0, "OpenSSL cannot write a certificate request");
  std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

std::string RequestInfo(const crypto::PublicKey& key, absl::string_view name) {
  const crypto::PkeyPtr pkey(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), crypto::kPublicKeySize));
  AlternativeNames names;
  names.AddUri(AgentUri(name));
  X509_EXTENSIONS* extensions = nullptr;
  CheckAlways(X509V3_add1_i2d(&extensions, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1,
              "OpenSSL is out of memory");
  const RequestPtr request(X509_REQ_new());
  CheckAlways(request != nullptr && X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                  X509_REQ_set_subject_name(request.get(), MakeName(name).get()) == 1 &&
                  X509_REQ_set_pubkey(request.get(), pkey.get()) == 1 &&
                  X509_REQ_add_extensions(request.get(), extensions) == 1,
              "OpenSSL cannot make a certificate request");
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  return InfoToDer(request.get());
}

// The name in the agent:// URI among GeneralNames; other names are passed over.
absl::Status ReadAlternativeNames(absl::string_view names_der, std::string* name) {
  DerReader outer(names_der);
  DerReader names = outer.Enter(der::kSequence);
  while (names.More()) {
    if (!names.NextIs(kUri)) {
      names.Skip();
      continue;
    }
    absl::string_view uri = names.Take(kUri);
    if (!absl::ConsumePrefix(&uri, kAgentUriScheme)) {
      continue;
    }
    RETURN_IF_ERROR(CheckAgentName(uri));
    if (!name->empty()) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadName,
                             "a certificate request names one agent, not two; send two requests");
    }
    *name = std::string(uri);
  }
  return names.Finished() && outer.Finished() ? absl::OkStatus() : BadStatement(kNoRequest);
}

absl::Status ReadExtensions(DerReader extensions, std::string* name) {
  while (extensions.More()) {
    DerReader extension = extensions.Enter(der::kSequence);
    const absl::string_view oid = extension.Take(der::kObjectId);
    if (extension.NextIs(der::kBoolean)) {
      extension.Take(der::kBoolean);
    }
    const absl::string_view value = extension.Take(der::kOctetString);
    if (!extension.Finished()) {
      return BadStatement(kNoRequest);
    }
    if (oid == kSubjectAltName) {
      RETURN_IF_ERROR(ReadAlternativeNames(value, name));
    }
  }
  return extensions.Finished() ? absl::OkStatus() : BadStatement(kNoRequest);
}

// Attribute ::= SEQUENCE { type OBJECT IDENTIFIER, values SET OF ANY }
absl::StatusOr<std::string> ReadAttributes(DerReader attributes) {
  std::string name;
  while (attributes.More()) {
    DerReader attribute = attributes.Enter(der::kSequence);
    const absl::string_view oid = attribute.Take(der::kObjectId);
    DerReader values = attribute.Enter(der::kSet);
    if (!attribute.Finished()) {
      return BadStatement(kNoRequest);
    }
    if (oid == kExtensionRequest) {
      RETURN_IF_ERROR(ReadExtensions(values.Enter(der::kSequence), &name));
      if (!values.Finished()) {
        return BadStatement(kNoRequest);
      }
    }
  }
  if (!attributes.Finished()) {
    return BadStatement(kNoRequest);
  }
  return name;
}

}  // namespace

absl::StatusOr<std::string> MakeCertificateRequest(const crypto::Signer& key, absl::string_view name) {
  RETURN_IF_ERROR(CheckAgentName(name));
  return SignedDer(RequestInfo(key.public_key(), name), key);
}

absl::StatusOr<CertificateRequest> VerifyCertificateRequest(absl::string_view request) {
  if (request.size() > kMaxCertificateRequestSize) {
    return BadStatement(absl::StrCat("a certificate request has at most ", kMaxCertificateRequestSize,
                                     " bytes; this one has ", request.size()));
  }
  DerReader outer(request);
  DerReader whole = outer.Enter(der::kSequence);
  const absl::string_view info = whole.TakeWhole(der::kSequence);
  whole.Expect(der::kEd25519Algorithm);
  const absl::string_view signature = WholeBytes(whole.Take(der::kBitString));
  // CertificationRequestInfo ::= SEQUENCE { version 0, subject Name, the key, attributes [0] }
  DerReader info_outer(info);
  DerReader fields = info_outer.Enter(der::kSequence);
  fields.Expect(absl::string_view("\x02\x01\x00", 3));
  fields.Take(der::kSequence);
  const absl::string_view raw_key = Ed25519KeyIn(fields.TakeWhole(der::kSequence));
  const DerReader attributes = fields.Enter(der::Constructed(0));
  if (!outer.Finished() || !whole.Finished() || !fields.Finished()) {
    return BadStatement(kNoRequest);
  }
  const absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromBytes(raw_key);
  if (!key.ok()) {
    return BadStatement(absl::StrCat("the certificate request's key: ", key.status().message()));
  }
  if (!crypto::Verify(*key, info, signature).ok()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadSignature,
                           "the certificate request is not signed by its own key");
  }
  ASSIGN_OR_RETURN(std::string name, ReadAttributes(attributes));
  return CertificateRequest{.key = *key, .name = std::move(name)};
}

}  // namespace dotagent::identity
