// The Noise Protocol Framework, revision 34, for one name: Noise_XX_25519_ChaChaPoly_SHA256.
//
//   XX:  -> e    <- e, ee, s, es    -> s, se
//
// Both sides prove a static X25519 key to each other, hidden from eavesdroppers (the dialler's also from whoever
// impersonates the listener's address passively). What the static keys belong to is the payloads' business: see
// libp2p_noise.h. Section numbers are the Noise specification's, https://noiseprotocol.org/noise.html.
//
// Defends against eavesdropping, tampering, replay and reordering. After an error the handshake is over.
//
//   HandshakeState a(Role::kDialler, prologue, std::move(static_key), std::move(ephemeral_key));
//   RETURN_IF_ERROR(a.WriteMessage(payload, &message));
//   ASSIGN_OR_RETURN(std::string theirs, a.ReadMessage(received));
//   if (a.finished()) { CipherPair ciphers = a.Split(); … }
#ifndef DOTAGENT_COMMON_SESSION_NOISE_H_
#define DOTAGENT_COMMON_SESSION_NOISE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/crypto/aead.h"
#include "common/crypto/keys.h"
#include "common/session/types.h"

namespace dotagent::session {

// §3: no message is longer.
inline constexpr size_t kMaxNoiseMessage = 65535;

// §5.1 with a key: one direction's. The nonce is a counter that both ends keep; 2^64-1 of them are never used up.
class CipherState {
 public:
  // `key` must be 32 bytes; the caller wipes its own copy.
  explicit CipherState(absl::string_view key) : aead_(key) {}

  // Appends ciphertext and tag to `out`, which `plaintext` must not be part of.
  void Seal(absl::string_view associated_data, absl::string_view plaintext, std::string* out);

  // Appends the plaintext to `out`. DataLoss (PROTOCOL) if `sealed` does not authenticate; then the nonce stays, so
  // that a forged message does not put the two ends out of step (RUSTSEC-2024-0011).
  [[nodiscard]] absl::Status Open(absl::string_view associated_data, absl::string_view sealed, std::string* out);

  // The same to and from memory of the caller's, without associated data: crypto::Aead's SealTo and OpenTo.
  void SealTo(absl::Span<const absl::string_view> pieces, char* out);
  [[nodiscard]] absl::Status OpenTo(absl::string_view sealed, char* out);

  // §4.2 REKEY: a new key made from the old one, which is gone; the nonce goes on (§11.3).
  void Rekey();

  // The same with a secret that both ends have just agreed on mixed in: the new key is HKDF(REKEY(k), secret)'s first
  // output, so whoever knows the old key and not the secret does not have it.
  void Mix(absl::string_view secret);

  // Whether `sealed` is a message of this key with another nonce: at most `kNearby` before or after the one that is
  // due. For telling, once OpenTo has failed, what has gone wrong; about 5 µs for each 16 KiB and nonce.
  static constexpr uint64_t kNearby = 16;
  [[nodiscard]] std::optional<uint64_t> NonceOf(absl::string_view sealed) const;

  [[nodiscard]] uint64_t nonce() const { return nonce_; }

 private:
  [[nodiscard]] absl::Status DoesNotAuthenticate() const;
  [[nodiscard]] std::string NextKey() const;

  crypto::Aead aead_;
  uint64_t nonce_ = 0;
};

// What a finished handshake leaves: the two directions, as the caller sees them.
struct CipherPair {
  CipherState send;
  CipherState receive;
};

// §5.2. Its chaining key lives for one handshake: it is wiped, but not in locked pages like a key that stays, since
// those cost more than all of a handshake's arithmetic.
class SymmetricState {
 public:
  explicit SymmetricState(absl::string_view protocol_name);
  ~SymmetricState();
  SymmetricState(const SymmetricState&) = delete;
  SymmetricState& operator=(const SymmetricState&) = delete;

  void MixKey(absl::string_view input);
  void MixHash(absl::string_view data);
  // Plaintext passes through until the first MixKey.
  void EncryptAndHash(absl::string_view plaintext, std::string* out);
  [[nodiscard]] absl::StatusOr<std::string> DecryptAndHash(absl::string_view sealed);
  [[nodiscard]] bool has_key() const { return cipher_.has_value(); }

  [[nodiscard]] CipherPair Split(Role role) const;
  [[nodiscard]] const std::string& hash() const { return hash_; }

 private:
  std::string chaining_key_;
  std::string hash_;
  std::optional<CipherState> cipher_;
};

// §5.3 for the pattern XX. Neither movable nor thread-safe.
class HandshakeState {
 public:
  // `ephemeral_key` must be fresh and random; a test hands in a known one.
  HandshakeState(Role role, absl::string_view prologue, crypto::DhKey static_key, crypto::DhKey ephemeral_key);

  // Appends the next message to `out`. FailedPrecondition if it is the peer's turn; an error of the key agreement.
  [[nodiscard]] absl::Status WriteMessage(absl::string_view payload, std::string* out);
  // Returns the payload. DataLoss or InvalidArgument (PROTOCOL) if the message is too short, too long, or was changed.
  [[nodiscard]] absl::StatusOr<std::string> ReadMessage(absl::string_view message);

  [[nodiscard]] bool finished() const { return next_message_ == 3; }
  [[nodiscard]] bool my_turn() const { return !finished() && (next_message_ % 2 == 0) == (role_ == Role::kDialler); }
  [[nodiscard]] absl::string_view static_public() const { return static_.public_bytes(); }

  // Empty until the peer's static key has arrived.
  [[nodiscard]] const std::string& remote_static() const { return remote_static_; }
  // Once finished: §11.2's h, 32 bytes, the same at both ends and unique to this handshake.
  [[nodiscard]] const std::string& handshake_hash() const { return symmetric_.hash(); }
  // Once finished.
  [[nodiscard]] CipherPair Split() const { return symmetric_.Split(role_); }

 private:
  [[nodiscard]] absl::Status MixAgreement(const crypto::DhKey& mine, absl::string_view theirs);
  [[nodiscard]] absl::Status ReadStaticKey(absl::string_view* message);
  // The tokens es and se: the dialler's ephemeral key with the listener's static key, or the other way round.
  [[nodiscard]] absl::Status MixEphemeralStatic(bool ephemeral_is_diallers);

  Role role_;
  SymmetricState symmetric_;
  crypto::DhKey static_;
  crypto::DhKey ephemeral_;
  std::string remote_static_;
  std::string remote_ephemeral_;
  int next_message_ = 0;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_NOISE_H_
