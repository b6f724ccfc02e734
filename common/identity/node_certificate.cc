// The first half of certificate.h: certificates that bind a TLS key to a node's key.
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <openssl/pem.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/check.h"
#include "common/crypto/hash.h"
#include "common/crypto/openssl.h"
#include "common/crypto/peer_id.h"
#include "common/identity/certificate.h"
#include "common/identity/certificate_builder.h"

namespace dotagent::identity {
namespace {

using crypto::BioPtr;
using crypto::CheckAlways;
using crypto::PkeyPtr;
using crypto::X509Ptr;

// https://github.com/libp2p/specs/blob/master/tls/tls.md
constexpr char kLibp2pOid[] = "1.3.6.1.4.1.53594.1.1";
constexpr absl::string_view kLibp2pContext = "libp2p-tls-handshake:";
// SignedKey ::= SEQUENCE { publicKey OCTET STRING, signature OCTET STRING }. With an Ed25519 key both have one size, so
// the DER around them is constant.
constexpr absl::string_view kBeforeKey("\x30\x68\x04\x24", 4);
constexpr absl::string_view kBeforeSignature("\x04\x40", 2);
constexpr size_t kProtobufSize = 36;
constexpr size_t kSignedKeySize = 4 + kProtobufSize + 2 + crypto::kSignatureSize;

constexpr absl::Duration kClockSkew = absl::Hours(1);
constexpr absl::Duration kLifetime = absl::Hours(24 * 3650);

absl::Status Refused(absl::string_view reason, absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason, absl::StrCat("the peer's certificate ", message));
}

std::string PrivateKeyToPem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  CheckAlways(bio != nullptr && PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr),
              "OpenSSL cannot write a private key");
  return std::string(crypto::BioView(bio.get()));
}

// An attacker chooses the certificate's own key, so only kinds whose verification has one small price are taken: what
// libp2p's and our own nodes use.
bool IsCheapKey(const EVP_PKEY* key) {
  if (key == nullptr) {
    return false;
  }
  if (EVP_PKEY_get_id(key) == EVP_PKEY_ED25519) {
    return true;
  }
  char group[32];
  return EVP_PKEY_get_id(key) == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, group, sizeof(group), nullptr) == 1 &&
         OBJ_sn2nid(group) == NID_X9_62_prime256v1;
}

// The content of the libp2p extension. KEY_MISMATCH if it is missing or doubled, or another critical extension is there
// that nobody here understands (RFC 5280 §4.2).
absl::StatusOr<std::string> SignedKeyOf(const X509& certificate) {
  std::string found;
  for (int i = 0; i < X509_get_ext_count(&certificate); ++i) {
    X509_EXTENSION* const extension = X509_get_ext(&certificate, i);
    char oid[64];
    OBJ_obj2txt(oid, sizeof(oid), X509_EXTENSION_get_object(extension), 1);
    if (absl::string_view(oid) != kLibp2pOid) {
      if (X509_EXTENSION_get_critical(extension) == 1 && X509_supported_extension(extension) == 0) {
        return Refused(reason::kKeyMismatch, "has a critical extension that is not known here");
      }
      continue;
    }
    if (!found.empty()) {
      return Refused(reason::kKeyMismatch, "names two node keys");
    }
    const ASN1_OCTET_STRING* const data = X509_EXTENSION_get_data(extension);
    found.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(data)),
                 static_cast<size_t>(ASN1_STRING_length(data)));
  }
  if (found.size() != kSignedKeySize || !absl::StartsWith(found, kBeforeKey) ||
      found.compare(kBeforeKey.size() + kProtobufSize, kBeforeSignature.size(), kBeforeSignature.data(),
                    kBeforeSignature.size()) != 0) {
    return Refused(reason::kKeyMismatch,
                   "names no Ed25519 node key (extension 1.3.6.1.4.1.53594.1.1): is the peer a dotagent node?");
  }
  return found;
}

}  // namespace

absl::StatusOr<NodeCertificate> MakeNodeCertificate(const crypto::Signer& node_key,
                                                    const std::vector<std::string>& hosts, absl::Time now) {
  AlternativeNames names;
  for (const char* host : {"dotagent", "localhost", "127.0.0.1"}) {
    RETURN_IF_ERROR(names.AddHost(host));
  }
  for (const std::string& host : hosts) {
    RETURN_IF_ERROR(names.AddHost(host));
  }
  const PkeyPtr key(EVP_EC_gen("P-256"));
  CheckAlways(key != nullptr, "OpenSSL cannot make a P-256 key");
  const std::string key_der = KeyToDer(*key);
  ASSIGN_OR_RETURN(const std::string signature, node_key.Sign(absl::StrCat(kLibp2pContext, key_der)));

  const X509NamePtr name = MakeName(crypto::PeerIdFromKey(node_key.public_key()));
  CertificateBuilder builder;
  builder.SetSerial(crypto::Sha256(key_der).substr(0, 16));
  builder.SetValidity(now - kClockSkew, now + kLifetime);
  builder.SetSubject(name.get());
  builder.SetIssuer(name.get());
  builder.SetKey(key.get());
  builder.AddExtension(NID_basic_constraints, "critical,CA:FALSE");
  builder.AddExtension(NID_key_usage, "critical,digitalSignature");
  builder.AddExtension(NID_ext_key_usage, "serverAuth,clientAuth");
  builder.AddAlternativeNames(names);
  builder.AddRawExtension(kLibp2pOid, absl::StrCat(kBeforeKey, crypto::EncodeLibp2pKey(node_key.public_key()),
                                                   kBeforeSignature, signature));
  ASSIGN_OR_RETURN(const X509Ptr certificate, builder.Sign(key.get(), EVP_sha256()));
  return NodeCertificate{.certificate_pem = CertificateToPem(*certificate),
                         .private_key_pem = PrivateKeyToPem(key.get()),
                         .sha256 = crypto::Sha256(CertificateToDer(*certificate))};
}

absl::StatusOr<PeerCertificate> CheckNodeCertificate(absl::string_view certificate_pem, absl::Time now) {
  const absl::StatusOr<X509Ptr> parsed = CertificateFromPem(certificate_pem);
  if (!parsed.ok()) {
    return Refused(reason::kKeyMismatch, absl::StrCat("cannot be read: ", parsed.status().message()));
  }
  const X509& certificate = **parsed;
  if (!IsInDate(certificate, now)) {
    return Refused(reason::kNotAuthenticated, "is not valid today; check the clocks, or restart the peer");
  }
  EVP_PKEY* const key = X509_get0_pubkey(&certificate);
  if (!IsCheapKey(key)) {
    crypto::TakeOpenSslError();
    return Refused(reason::kKeyMismatch, "has a TLS key that is neither P-256 nor Ed25519");
  }
  if (X509_verify(parsed->get(), key) != 1) {
    return Refused(reason::kBadSignature, absl::StrCat("is not signed by its own key: ", crypto::TakeOpenSslError()));
  }
  ASSIGN_OR_RETURN(const std::string signed_key, SignedKeyOf(certificate));
  const absl::StatusOr<crypto::PublicKey> node_key =
      crypto::DecodeLibp2pKey(absl::string_view(signed_key).substr(kBeforeKey.size(), kProtobufSize));
  if (!node_key.ok()) {
    return Refused(reason::kKeyMismatch, absl::StrCat("names a bad node key: ", node_key.status().message()));
  }
  const absl::string_view signature = absl::string_view(signed_key).substr(kSignedKeySize - crypto::kSignatureSize);
  if (!crypto::Verify(*node_key, absl::StrCat(kLibp2pContext, KeyToDer(*key)), signature).ok()) {
    return Refused(reason::kBadSignature, "names a node key that did not sign it");
  }
  return PeerCertificate{.node_key = *node_key, .sha256 = crypto::Sha256(CertificateToDer(certificate))};
}

}  // namespace dotagent::identity
