// X.509 certificates (OpenSSL).
//
// Two kinds. A *node certificate* is self-signed, for TLS inside a deployment: a P-256 key (which every TLS stack
// negotiates; BoringSSL refuses Ed25519) bound to the node's Ed25519 key by the extension of the public libp2p TLS
// specification (OID 1.3.6.1.4.1.53594.1.1: the key and its signature over "libp2p-tls-handshake:" ‖
// SubjectPublicKeyInfo). *Agent certificates* are issued by a registrar (identity), two at a time, in the profiles of
// agent_certificate.h: one for the name agent://NAME, and an SVID for spiffe://DOMAIN/agent/LABEL. Both carry the
// AgentId in hexadecimal as a permanent identifier (RFC 4043, otherName 1.3.6.1.5.5.7.8.3: a name that stays with its
// holder from certificate to certificate).
//
// The AgentId has no object identifier of our own: one without registration would be under UUID (2.25), whose 128-bit
// number Go's crypto/x509 and others do not parse, and they refuse the whole certificate for it.
//
// Defends against a stranger's TLS key that claims a node's key (the extension is a signature over that very TLS key),
// a request for someone else's key (it must sign itself, and be for the key that was proved), and names that would
// become two in a certificate (they are added as data, and checked). What a request asks for beyond its key is ignored.
#ifndef DOTAGENT_COMMON_IDENTITY_CERTIFICATE_H_
#define DOTAGENT_COMMON_IDENTITY_CERTIFICATE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/crypto/secret.h"
#include "common/identity/agent_certificate.h"

namespace dotagent::identity {

// Where an agent certificate carries the AgentId: id-on-permanentIdentifier (RFC 4043).
inline constexpr char kAgentIdOid[] = "1.3.6.1.5.5.7.8.3";

struct NodeCertificate {
  std::string certificate_pem;
  std::string private_key_pem;  // P-256, PKCS#8; a secret, for the TLS library only
  std::string sha256;           // of the DER: the channel binding
};

// Valid from an hour ago for 10 years (its life is the process's; trust comes from the node key). `hosts` are DNS names
// or IP addresses for the SAN; "dotagent", "localhost" and 127.0.0.1 are always there. InvalidArgument (BAD_ADDRESS)
// for another text in `hosts`. The P-256 key comes from OpenSSL's own generator.
[[nodiscard]] absl::StatusOr<NodeCertificate> MakeNodeCertificate(const crypto::Signer& node_key,
                                                                  const std::vector<std::string>& hosts,
                                                                  absl::Time now);

struct PeerCertificate {
  crypto::PublicKey node_key;  // proved by the extension
  std::string sha256;          // of the DER
};
// Checks self-signature, dates and extension; takes those of other libp2p stacks too, if node and TLS keys are Ed25519,
// or P-256 for TLS. Unauthenticated: BAD_SIGNATURE (either signature), KEY_MISMATCH (not a certificate, or none that
// names an Ed25519 node key), NOT_AUTHENTICATED (out of date). About 0.3 ms; at most 16 KiB are read, and one
// certificate.
[[nodiscard]] absl::StatusOr<PeerCertificate> CheckNodeCertificate(absl::string_view certificate_pem, absl::Time now);

struct IssuerOptions {
  std::string trust_domain = "dotagent.local";  // lower-case letters, digits, '.', '-', '_'; at most 253
  absl::Duration leaf_lifetime = absl::Hours(24);
};

// In DER.
struct IssuedCertificates {
  std::string name_der;  // for records
  std::string svid_der;  // for TLS
};

// A certificate authority around one Ed25519 key. Thread-safe once made.
class Issuer {
 public:
  // Makes the self-signed root (10 years) for `key`; `key` must outlive the issuer. InvalidArgument for
  // options that cannot be.
  [[nodiscard]] static absl::StatusOr<Issuer> Create(const crypto::Signer& key, const IssuerOptions& options,
                                                     absl::Time now);
  // Goes on with a root made before. FailedPrecondition if it is not `key`'s.
  [[nodiscard]] static absl::StatusOr<Issuer> Load(const crypto::Signer& key, const IssuerOptions& options,
                                                   absl::string_view root_pem);

  [[nodiscard]] const std::string& root_pem() const { return root_.pem; }
  [[nodiscard]] const std::string& root_der() const { return root_.der; }

  // Checks the request (certificate_request.h): its signature, and that its key is the subject's, which the caller has
  // seen proved. That the key is the agent's and holds the name is the caller's to check, too; the name in the request
  // is not looked at. `serial`: 1 to 19 random bytes, so that no two requests share them. InvalidArgument (BAD_NAME,
  // BAD_STATEMENT, KEY_MISMATCH, BAD_SIGNATURE), or FailedPrecondition if the root ends before the certificates would.
  // About 0.5 ms.
  [[nodiscard]] absl::StatusOr<IssuedCertificates> Issue(absl::string_view csr_der, const CertificateSubject& subject,
                                                         absl::string_view serial, absl::Time now) const;

 private:
  struct Root {
    std::string pem;
    std::string der;
    absl::Time not_before;
    absl::Time not_after;
  };
  Issuer(const crypto::Signer& key, IssuerOptions options, Root root)
      : key_(&key), options_(std::move(options)), root_(std::move(root)) {}
  const crypto::Signer* key_;
  IssuerOptions options_;
  Root root_;
};

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_CERTIFICATE_H_
