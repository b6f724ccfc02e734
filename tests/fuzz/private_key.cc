// Key files, as PEM and as the DER inside: no input crashes, and a key that is read is written and read again as the
// same, with the same notes. What is encrypted is decrypted, with the passphrase "fuzz", if it costs next to nothing;
// what costs too much is refused, and not only slow.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/key_encryption.h"
#include "common/crypto/key_file.h"
#include "common/crypto/openssl.h"

namespace dotagent::crypto {
namespace {

using Passphrase = std::optional<SecretBytes>;

// So that the fuzzer gets on.
constexpr KeyEncryptionLimits kCheap{.pbkdf2_iterations = 64, .scrypt_cost = 1 << 10};

std::string Pem(absl::string_view label, absl::string_view der) {
  return absl::StrCat("-----BEGIN ", label, "-----\n", Base64Encode(der), "\n-----END ", label, "-----\n");
}

bool IsCheap(absl::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const std::unique_ptr<X509_SIG, OpenSslFree<X509_SIG_free>> encrypted(
      d2i_X509_SIG(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (encrypted == nullptr) return false;
  const absl::Status cheap = CheckKeyEncryption(*encrypted, kCheap);
  if (!cheap.ok() && ReasonOf(cheap) != reason::kBadKey) std::abort();
  return cheap.ok();
}

void CheckPem(absl::string_view pem, const Passphrase& passphrase = std::nullopt) {
  const absl::StatusOr<AgentKey> key = AgentKeyFromPem(pem, passphrase);
  if (!key.ok()) {
    if (ReasonOf(key.status()) != reason::kBadKey) std::abort();
    return;
  }
  if (!CheckAttributes(key->attributes).ok()) std::abort();
  const std::string again = KeyToPem(key->key, std::nullopt, key->attributes).value();
  const absl::StatusOr<AgentKey> read = AgentKeyFromPem(again, std::nullopt);
  if (!read.ok() || read->key.public_key() != key->key.public_key() || read->attributes != key->attributes) {
    std::abort();
  }
}

}  // namespace
}  // namespace dotagent::crypto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent;  // NOLINT(google-build-using-namespace)
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  crypto::CheckPem(input);
  crypto::CheckPem(crypto::Pem("PRIVATE KEY", input));
  const std::string encrypted = crypto::Pem("ENCRYPTED PRIVATE KEY", input);
  crypto::CheckPem(encrypted);
  if (crypto::IsCheap(input)) crypto::CheckPem(encrypted, crypto::SecretBytes("fuzz"));
  return 0;
}
