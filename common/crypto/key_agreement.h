// Ed25519 keys as X25519 ones, so that who knows an agent's signing key can also encrypt to it.
//
// The points of both curves map to each other (RFC 7748 §4.1); the private scalar is the same: the first half of
// SHA-512 of the seed, clamped. One key for both uses is sound with Ed25519 and HPKE's DHKEM(X25519): Thormarker, "On
// using the same key pair for Ed25519 and an X25519 based KEM" (ePrint 2021/509), shows that neither helps against the
// other. Do not use such keys with another scheme on the strength of that.
#ifndef DOTAGENT_COMMON_CRYPTO_KEY_AGREEMENT_H_
#define DOTAGENT_COMMON_CRYPTO_KEY_AGREEMENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/crypto/keys.h"

namespace dotagent::crypto {

// 32 bytes. InvalidArgument (BAD_KEY) if the key is no point of prime order, which one that FromBytes made always is.
[[nodiscard]] absl::StatusOr<std::string> X25519PublicOf(const PublicKey& key);

// The private half of X25519PublicOf(key.public_key()).
[[nodiscard]] DhKey X25519KeyOf(const SigningKey& key);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_KEY_AGREEMENT_H_
