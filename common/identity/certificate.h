// X.509 certificates (OpenSSL).
//
// Two kinds. A *node certificate* is self-signed, for TLS inside a deployment: a P-256 key (which every TLS stack
// negotiates; BoringSSL refuses Ed25519) bound to the node's Ed25519 key by the extension of the public libp2p TLS
// specification (OID 1.3.6.1.4.1.53594.1.1: the key and its signature over "libp2p-tls-handshake:" ‖
// SubjectPublicKeyInfo). An *agent certificate* is issued by identity: Ed25519, SANs agent://NAME and
// spiffe://DOMAIN/agent/LABEL, and an extension that carries the AgentId.
#ifndef DOTAGENT_COMMON_IDENTITY_CERTIFICATE_H_
#define DOTAGENT_COMMON_IDENTITY_CERTIFICATE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/crypto/secret.h"

namespace dotagent::identity {

// 1.3.6.1.4.1.58888.… would need a registered number; this arc is under UUID (2.25) and so needs none: see
// docs/protocol.md.
inline constexpr char kAgentIdOid[] = "2.25.282746180357842910";

struct NodeCertificate {
  std::string certificate_pem;
  std::string private_key_pem;  // P-256, PKCS#8; a secret, for the TLS library only
  std::string sha256;           // of the DER: the channel binding
};

// Valid from an hour ago for 10 years (its life is the process's; trust comes from the node key). `hosts` are DNS names
// or IP addresses for the SAN; "dotagent" and "localhost" are always there.
[[nodiscard]] absl::StatusOr<NodeCertificate> MakeNodeCertificate(const crypto::Signer& node_key,
                                                                  const std::vector<std::string>& hosts,
                                                                  absl::Time now);

struct PeerCertificate {
  crypto::PublicKey node_key;  // proved by the extension
  std::string sha256;          // of the DER
};
// Checks self-signature, dates and extension. Unauthenticated (BAD_SIGNATURE or KEY_MISMATCH).
[[nodiscard]] absl::StatusOr<PeerCertificate> CheckNodeCertificate(absl::string_view certificate_pem, absl::Time now);

// PKCS#10 with an Ed25519 key, DER.
[[nodiscard]] absl::StatusOr<std::string> MakeCertificateRequest(const crypto::SigningKey& key, absl::string_view name);

struct IssuerOptions {
  std::string trust_domain = "dotagent.local";
  absl::Duration leaf_lifetime = absl::Hours(24);
};

// A certificate authority around one Ed25519 key.
class Issuer {
 public:
  // Makes the self-signed root (10 years) for `key`; `key` must outlive the issuer.
  [[nodiscard]] static absl::StatusOr<Issuer> Create(const crypto::SigningKey& key, const IssuerOptions& options,
                                                     absl::Time now);
  // Goes on with a root made before. FailedPrecondition if it is not `key`'s.
  [[nodiscard]] static absl::StatusOr<Issuer> Load(const crypto::SigningKey& key, const IssuerOptions& options,
                                                   absl::string_view root_pem);

  [[nodiscard]] const std::string& root_pem() const { return root_pem_; }
  [[nodiscard]] std::string root_der() const;

  // DER. Checks the request's self-signature and that its key is `subject_key`. InvalidArgument otherwise.
  [[nodiscard]] absl::StatusOr<std::string> Issue(absl::string_view csr_der, const crypto::PublicKey& subject_key,
                                                  absl::string_view name, absl::string_view serial,
                                                  absl::Time now) const;

 private:
  Issuer(const crypto::SigningKey& key, IssuerOptions options, std::string root_pem)
      : key_(&key), options_(std::move(options)), root_pem_(std::move(root_pem)) {}
  const crypto::SigningKey* key_;
  IssuerOptions options_;
  std::string root_pem_;
};

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_CERTIFICATE_H_
