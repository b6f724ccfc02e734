// Node certificates, which strangers show before anything else: as PEM, and as DER that is put into PEM. No input
// crashes, what is refused is refused in one line, and what is accepted proves a key.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/crypto/hash.h"
#include "common/identity/certificate.h"
#include "tests/fuzz/identity_fixtures.h"

namespace dotagent::identity {
namespace {

// 2026-11-27T12:00:00Z: within the time of the corpus' certificates.
absl::Time ReadAt() { return absl::FromUnixSeconds(1795780800); }

void CheckCertificate(absl::string_view pem) {
  const auto peer = CheckNodeCertificate(pem, ReadAt());
  if (!peer.ok()) {
    CheckRefusal(peer.status());
    return;
  }
  if (peer->sha256.size() != crypto::kSha256Size || !crypto::PublicKey::FromBytes(peer->node_key.bytes()).ok()) {
    std::abort();
  }
}

std::string PemOf(absl::string_view der) {
  const std::string base64 = Base64Encode(der);
  std::string pem = "-----BEGIN CERTIFICATE-----\n";
  for (size_t at = 0; at < base64.size(); at += 64) absl::StrAppend(&pem, base64.substr(at, 64), "\n");
  return absl::StrCat(pem, "-----END CERTIFICATE-----\n");
}

}  // namespace
}  // namespace dotagent::identity

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent::identity;  // NOLINT(google-build-using-namespace)
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  CheckCertificate(input);
  CheckCertificate(PemOf(input));
  return 0;
}
