// HPKE (RFC 9180): encryption to a public key. Mode base, one message for each key that is agreed on (§6.1), and one
// suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
//
// Whoever reads what lies between sender and recipient learns its length and no more; whoever changes a bit of it, of
// `info` or of `aad`, or hands it to another recipient, has it refused. It does not say who sealed it, and whoever gets
// the recipient's private key later opens it: sign outside, and bind the signer in `info`. Debian 12's libsodium and
// OpenSSL have the primitives and no HPKE (OpenSSL does from 3.2 on).
#ifndef DOTAGENT_COMMON_CRYPTO_HPKE_H_
#define DOTAGENT_COMMON_CRYPTO_HPKE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/aead.h"
#include "common/crypto/keys.h"

namespace dotagent::crypto {

// What sealing adds: the encapsulated key before, the tag behind.
inline constexpr size_t kHpkeOverhead = DhKey::kSize + kAeadTagSize;

// enc ‖ ciphertext ‖ tag. `ephemeral` is fresh, and spent by this. About 60 µs. InvalidArgument (BAD_KEY) if the
// recipient's X25519 key is not 32 bytes or has small order.
[[nodiscard]] absl::StatusOr<std::string> HpkeSeal(DhKey ephemeral, absl::string_view recipient, absl::string_view info,
                                                   absl::string_view aad, absl::string_view plaintext);

// The plaintext. InvalidArgument: BAD_KEY if the encapsulated key has small order, no reason if it is too short or does
// not authenticate.
[[nodiscard]] absl::StatusOr<std::string> HpkeOpen(const DhKey& recipient, absl::string_view info,
                                                   absl::string_view aad, absl::string_view sealed);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_HPKE_H_
