// PKCS#10 certificate requests (RFC 2986) with an Ed25519 key: what an agent sends to a registrar.
//
// Its signature is the proof of possession: nobody can ask for a certificate of a key that is not his. It is no proof
// of freshness; whoever issues certificates online asks for a challenge's answer too (challenge.h). Of what a request
// asks for, only its key and one alternative name are read, the URI agent://NAME; that the key holds the name is
// for the registrar to check.
#ifndef DOTAGENT_COMMON_IDENTITY_CERTIFICATE_REQUEST_H_
#define DOTAGENT_COMMON_IDENTITY_CERTIFICATE_REQUEST_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/keys.h"

namespace dotagent::identity {

inline constexpr size_t kMaxCertificateRequestSize = 4096;

struct CertificateRequest {
  crypto::PublicKey key;
  std::string name;  // empty if it asks for none
};

// DER; `openssl req -inform DER -verify` accepts it. InvalidArgument (BAD_NAME) unless `name` is a lower-case .agent
// name; otherwise fails only if the signer does.
[[nodiscard]] absl::StatusOr<std::string> MakeCertificateRequest(const crypto::Signer& key, absl::string_view name);

// Reads ours and those of other programs. InvalidArgument: BAD_STATEMENT (over 4 KiB, no PKCS#10 in DER, another kind
// of key), BAD_SIGNATURE (not signed by its own key), BAD_NAME (an agent:// URI with no name, or two). About 100 µs.
[[nodiscard]] absl::StatusOr<CertificateRequest> VerifyCertificateRequest(absl::string_view request);

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_CERTIFICATE_REQUEST_H_
