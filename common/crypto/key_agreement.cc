#include "common/crypto/key_agreement.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/sodium.h"

namespace dotagent::crypto {

absl::StatusOr<std::string> X25519PublicOf(const PublicKey& key) {
  EnsureSodium();
  std::string converted(DhKey::kSize, '\0');
  if (crypto_sign_ed25519_pk_to_curve25519(reinterpret_cast<uint8_t*>(converted.data()), key.data()) != 0) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                           "nothing can be encrypted to this Ed25519 key: it is no point of prime order");
  }
  return converted;
}

DhKey X25519KeyOf(const SigningKey& key) {
  EnsureSodium();
  CheckAlways(key.seed().size() == kSeedSize, "a key that was moved away cannot agree");
  // libsodium's form of a private key, in memory that is wiped: seed ‖ public key.
  BriefSecret<crypto_sign_SECRETKEYBYTES> expanded;
  std::copy_n(key.seed().data(), kSeedSize, expanded.data());
  std::copy_n(key.public_key().data(), kPublicKeySize, expanded.data() + kSeedSize);
  BriefSecret<DhKey::kSize> scalar;
  crypto_sign_ed25519_sk_to_curve25519(scalar.data(), expanded.data());
  return *DhKey::FromPrivate(scalar.view());
}

}  // namespace dotagent::crypto
