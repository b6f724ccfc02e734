// Builds X.509 certificates with OpenSSL: the mechanics behind certificate.h, which says what goes into them.
//
// Names are added one by one as data. (OpenSSL's "DNS:a,URI:b" strings would let a name that holds a comma become two.)
#ifndef DOTAGENT_COMMON_IDENTITY_CERTIFICATE_BUILDER_H_
#define DOTAGENT_COMMON_IDENTITY_CERTIFICATE_BUILDER_H_

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/crypto/openssl.h"

namespace dotagent::identity {

using X509NamePtr = std::unique_ptr<X509_NAME, crypto::OpenSslFree<X509_NAME_free>>;

// Organization "dotagent" and `common_name`; without the latter where X.520 has no room for it (64 characters).
[[nodiscard]] X509NamePtr MakeName(absl::string_view common_name);

// The subject alternative names of a certificate. Not thread-safe.
class AlternativeNames {
 public:
  AlternativeNames();

  void AddUri(absl::string_view uri);
  // A DNS name or an IP address. InvalidArgument (BAD_ADDRESS) if it is neither.
  [[nodiscard]] absl::Status AddHost(const std::string& host);
  // RFC 4043: a name that stays with its holder from certificate to certificate. At most 100 bytes of UTF-8.
  void AddPermanentIdentifier(absl::string_view identifier);

  [[nodiscard]] GENERAL_NAMES* get() const { return names_.get(); }

 private:
  void Add(GENERAL_NAME* name);
  std::unique_ptr<GENERAL_NAMES, crypto::OpenSslFree<GENERAL_NAMES_free>> names_;
};

// What names a key in certificates: the first 20 bytes of its SHA-256 (RFC 7093 §2, method 1), so of its AgentId.
[[nodiscard]] std::string KeyIdentifier(const crypto::PublicKey& key);

// What X.509 and PKCS#10 make of `content`, one DER element: SEQUENCE { content, Ed25519, signature over it }. Fails
// only if the signer does.
[[nodiscard]] absl::StatusOr<std::string> SignedDer(absl::string_view content, const crypto::Signer& signer);

// One certificate. Failures are kept until Sign, which reports the first. Not thread-safe.
class CertificateBuilder {
 public:
  CertificateBuilder();

  // An unsigned number of at most 20 bytes, big-endian; its first bit is dropped, as RFC 5280 §4.1.2.2 wants it
  // positive.
  void SetSerial(absl::string_view bytes);
  void SetValidity(absl::Time from, absl::Time to);
  void SetSubject(const X509_NAME* name);
  void SetIssuer(const X509_NAME* name);
  void SetKey(EVP_PKEY* key);
  // For Ed25519.
  void SetKey(const crypto::PublicKey& key);
  // `value` in openssl.cnf's syntax: a constant of ours, never input.
  void AddExtension(int nid, const char* value);
  void AddAlternativeNames(const AlternativeNames& names);
  // Whose certificate it is, and whose key signs it (both RFC 5280 §4.2.1, by KeyIdentifier).
  void AddKeyIdentifiers(const crypto::PublicKey& subject, const crypto::PublicKey& issuer);
  // Not critical.
  void AddRawExtension(const char* oid, absl::string_view der);

  // Spends the builder. Internal if OpenSSL refused any part.
  [[nodiscard]] absl::StatusOr<crypto::X509Ptr> Sign(EVP_PKEY* key, const EVP_MD* digest);
  // The same with an Ed25519 key that may be inside a token; the certificate in DER. Also fails as the signer does.
  [[nodiscard]] absl::StatusOr<std::string> Sign(const crypto::Signer& signer);

 private:
  void Check(bool done, const char* what);
  crypto::X509Ptr certificate_;
  std::string failure_;
};

// DER and PEM. FromPem refuses what is over 16 KiB: InvalidArgument (BAD_STATEMENT).
[[nodiscard]] std::string CertificateToDer(const X509& certificate);
[[nodiscard]] std::string CertificateToPem(const X509& certificate);
[[nodiscard]] std::string CertificateToPem(absl::string_view der);
[[nodiscard]] absl::StatusOr<crypto::X509Ptr> CertificateFromPem(absl::string_view pem);

// SubjectPublicKeyInfo, DER.
[[nodiscard]] std::string KeyToDer(const EVP_PKEY& key);

[[nodiscard]] absl::Time TimeOf(const ASN1_TIME& time);

// True if `now` is within the certificate's dates.
[[nodiscard]] bool IsInDate(const X509& certificate, absl::Time now);

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_CERTIFICATE_BUILDER_H_
