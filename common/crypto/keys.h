// Ed25519 and X25519 keys.
//
// Defends against forged signatures that a lax verifier accepts: verification is RFC 8032's with libsodium's strict
// rules (canonical S, no small-order public key or R), so a signature has one form and a key that anyone could sign for
// is refused.
//
//   ASSIGN_OR_RETURN(auto key, SigningKey::Generate(random));
//   std::string signature = key.Sign("context\0payload");
//   RETURN_IF_ERROR(Verify(key.public_key(), "context\0payload", signature));
#ifndef DOTAGENT_COMMON_CRYPTO_KEYS_H_
#define DOTAGENT_COMMON_CRYPTO_KEYS_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/random.h"
#include "common/crypto/secret.h"

namespace dotagent::crypto {

inline constexpr size_t kPublicKeySize = 32;
inline constexpr size_t kSeedSize = 32;
inline constexpr size_t kSignatureSize = 64;

// An Ed25519 public key. A value; ordered and hashable by its bytes.
class PublicKey {
 public:
  // All zeros: equals no key that FromBytes accepts.
  PublicKey() = default;

  // InvalidArgument (BAD_KEY) for any size but 32, points that are not on the curve or not canonical, and points
  // outside the subgroup of prime order. (RFC 8032 would take a point with a small-order component; no honest key has
  // one, and with it two verifiers can disagree on a signature.) About 50 µs: keep the PublicKey, not its bytes.
  [[nodiscard]] static absl::StatusOr<PublicKey> FromBytes(absl::string_view bytes);

  // For keys that were checked before, or are only hashed and compared, such as those of nodes heard of (a session
  // checks the key that its peer proves). InvalidArgument (BAD_KEY) for any size but 32.
  [[nodiscard]] static absl::StatusOr<PublicKey> FromUncheckedBytes(absl::string_view bytes);

  [[nodiscard]] absl::string_view bytes() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  [[nodiscard]] const uint8_t* data() const { return bytes_.data(); }

  friend auto operator<=>(const PublicKey&, const PublicKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const PublicKey& key) {
    return H::combine(std::move(h), key.bytes_);
  }

 private:
  friend class SigningKey;
  std::array<uint8_t, kPublicKeySize> bytes_{};
};

// Verifies an Ed25519 signature over `message`. About 48 µs. InvalidArgument (BAD_SIGNATURE) if it does not verify.
[[nodiscard]] absl::Status Verify(const PublicKey& key, absl::string_view message, absl::string_view signature);

// Whatever can sign with one Ed25519 key: a key in memory, or one inside an HSM or a TPM. Thread-safe.
class Signer {
 public:
  virtual ~Signer() = default;
  [[nodiscard]] virtual const PublicKey& public_key() const = 0;
  // 64 bytes. Fails only if the key lives in hardware that does.
  [[nodiscard]] virtual absl::StatusOr<std::string> Sign(absl::string_view message) const = 0;
};

// An Ed25519 private key in locked, wiped memory. Movable; not copyable.
class SigningKey : public Signer {
 public:
  [[nodiscard]] static SigningKey Generate(Random& random);
  // Makes keys until `wanted` takes one, at most `attempts`; nullopt if it took none. About 20 µs a key, a fifth of
  // Generate: all are made in the same locked memory.
  [[nodiscard]] static std::optional<SigningKey> GenerateWhere(Random& random, uint64_t attempts,
                                                               absl::FunctionRef<bool(const PublicKey&)> wanted);
  // From the 32-byte seed of RFC 8032 §5.1.5; the caller wipes its own copy. InvalidArgument (BAD_KEY) for another
  // size.
  [[nodiscard]] static absl::StatusOr<SigningKey> FromSeed(absl::string_view seed);

  [[nodiscard]] const PublicKey& public_key() const override { return public_key_; }
  // About 17 µs. Never fails.
  [[nodiscard]] absl::StatusOr<std::string> Sign(absl::string_view message) const override;
  // For writing key files.
  [[nodiscard]] const SecretBytes& seed() const { return seed_; }

 private:
  static SigningKey FromSecretSeed(SecretBytes seed);
  SigningKey(SecretBytes seed, SecretBytes expanded, PublicKey public_key)
      : seed_(std::move(seed)), expanded_(std::move(expanded)), public_key_(public_key) {}
  SecretBytes seed_;
  SecretBytes expanded_;  // libsodium's 64-byte form: seed ‖ public key
  PublicKey public_key_;
};

// An X25519 key pair: ephemeral or static, for one Noise handshake, and so in a BriefSecret. Movable; not copyable.
class DhKey {
 public:
  static constexpr size_t kSize = 32;  // of the private key, the public one and what two agree on

  [[nodiscard]] static DhKey Generate(Random& random);
  // From 32 bytes, clamped as RFC 7748 §5 says; the caller wipes its own copy. InvalidArgument (BAD_KEY) for another
  // size.
  [[nodiscard]] static absl::StatusOr<DhKey> FromPrivate(absl::string_view private_key);

  [[nodiscard]] absl::string_view public_bytes() const { return public_; }
  // About 30 µs. InvalidArgument (BAD_KEY) for a public key that is not 32 bytes or yields the all-zero secret
  // (RFC 7748 §6.1).
  [[nodiscard]] absl::StatusOr<BriefSecret<kSize>> Agree(absl::string_view their_public) const;

 private:
  static DhKey FromSecret(BriefSecret<kSize> private_key);
  DhKey(BriefSecret<kSize> private_key, std::string public_key)
      : private_(std::move(private_key)), public_(std::move(public_key)) {}
  BriefSecret<kSize> private_;
  std::string public_;  // empty: moved away
};

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_KEYS_H_
