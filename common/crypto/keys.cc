#include "common/crypto/keys.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/sodium.h"

namespace dotagent::crypto {
namespace {

absl::Status BadKey(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey, message);
}

absl::Status BadSignature(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadSignature, message);
}

const uint8_t* Bytes(absl::string_view view) { return reinterpret_cast<const uint8_t*>(view.data()); }

}  // namespace

absl::StatusOr<PublicKey> PublicKey::FromBytes(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const PublicKey key, FromUncheckedBytes(bytes));
  EnsureSodium();
  if (crypto_core_ed25519_is_valid_point(key.data()) != 1) {
    return BadKey("this is no Ed25519 public key: the bytes are not the canonical form of a point of prime order");
  }
  return key;
}

absl::StatusOr<PublicKey> PublicKey::FromUncheckedBytes(absl::string_view bytes) {
  if (bytes.size() != kPublicKeySize) {
    return BadKey(absl::StrCat("an Ed25519 public key is 32 bytes; this one is ", bytes.size()));
  }
  PublicKey key;
  std::memcpy(key.bytes_.data(), bytes.data(), kPublicKeySize);
  return key;
}

absl::Status Verify(const PublicKey& key, absl::string_view message, absl::string_view signature) {
  if (signature.size() != kSignatureSize) {
    return BadSignature(absl::StrCat("an Ed25519 signature is 64 bytes; this one is ", signature.size()));
  }
  EnsureSodium();
  if (crypto_sign_verify_detached(Bytes(signature), Bytes(message), message.size(), key.data()) != 0) {
    return BadSignature("the signature does not verify: the data was altered, or another key signed it");
  }
  return absl::OkStatus();
}

SigningKey SigningKey::FromSecretSeed(SecretBytes seed) {
  EnsureSodium();
  SecretBytes expanded(crypto_sign_SECRETKEYBYTES);
  PublicKey public_key;
  crypto_sign_seed_keypair(public_key.bytes_.data(), expanded.data(), seed.data());
  return SigningKey(std::move(seed), std::move(expanded), public_key);
}

SigningKey SigningKey::Generate(Random& random) {
  SecretBytes seed(kSeedSize);
  random.Fill(seed.data(), seed.size());
  return FromSecretSeed(std::move(seed));
}

std::optional<SigningKey> SigningKey::GenerateWhere(Random& random, uint64_t attempts,
                                                    absl::FunctionRef<bool(const PublicKey&)> wanted) {
  EnsureSodium();
  SecretBytes seed(kSeedSize);
  SecretBytes expanded(crypto_sign_SECRETKEYBYTES);
  PublicKey public_key;
  for (uint64_t attempt = 0; attempt < attempts; ++attempt) {
    random.Fill(seed.data(), seed.size());
    crypto_sign_seed_keypair(public_key.bytes_.data(), expanded.data(), seed.data());
    if (wanted(public_key)) return SigningKey(std::move(seed), std::move(expanded), public_key);
  }
  return std::nullopt;
}

absl::StatusOr<SigningKey> SigningKey::FromSeed(absl::string_view seed) {
  if (seed.size() != kSeedSize) {
    return BadKey(absl::StrCat("the seed of an Ed25519 key is 32 bytes; this one is ", seed.size()));
  }
  return FromSecretSeed(SecretBytes(seed));
}

absl::StatusOr<std::string> SigningKey::Sign(absl::string_view message) const {
  CheckAlways(expanded_.size() == crypto_sign_SECRETKEYBYTES, "a key that was moved away cannot sign");
  std::string signature(kSignatureSize, '\0');
  crypto_sign_detached(reinterpret_cast<uint8_t*>(signature.data()), nullptr, Bytes(message), message.size(),
                       expanded_.data());
  return signature;
}

static_assert(DhKey::kSize == crypto_scalarmult_curve25519_SCALARBYTES &&
              DhKey::kSize == crypto_scalarmult_curve25519_BYTES);

DhKey DhKey::FromSecret(BriefSecret<kSize> private_key) {
  EnsureSodium();
  std::string public_key(kPublicKeySize, '\0');
  crypto_scalarmult_curve25519_base(reinterpret_cast<uint8_t*>(public_key.data()), private_key.data());
  return DhKey(std::move(private_key), std::move(public_key));
}

DhKey DhKey::Generate(Random& random) {
  BriefSecret<kSize> private_key;
  random.Fill(private_key.data(), kSize);
  return FromSecret(std::move(private_key));
}

absl::StatusOr<DhKey> DhKey::FromPrivate(absl::string_view private_key) {
  if (private_key.size() != kSize) {
    return BadKey(absl::StrCat("an X25519 private key is 32 bytes; this one is ", private_key.size()));
  }
  BriefSecret<kSize> copy;
  std::memcpy(copy.data(), private_key.data(), kSize);
  return FromSecret(std::move(copy));
}

absl::StatusOr<BriefSecret<DhKey::kSize>> DhKey::Agree(absl::string_view their_public) const {
  CheckAlways(!public_.empty(), "a key that was moved away cannot agree");
  if (their_public.size() != kPublicKeySize) {
    return BadKey(absl::StrCat("an X25519 public key is 32 bytes; this one is ", their_public.size()));
  }
  BriefSecret<kSize> shared;
  if (crypto_scalarmult_curve25519(shared.data(), private_.data(), Bytes(their_public)) != 0) {
    return BadKey("this X25519 public key has small order: the secret agreed on with it would be known to everyone");
  }
  return shared;
}

}  // namespace dotagent::crypto
