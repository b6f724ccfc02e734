// What a listener under load asks of a dialler before it does any Diffie-Hellman work: some work of the dialler's own.
//
//   cookie   bits (1 byte) ‖ time (8 bytes, ms, big-endian) ‖ MAC (16 bytes)
//   proof    cookie ‖ nonce (8 bytes), such that SHA-256(proof) begins with `bits` zero bits
//
// The MAC is HMAC-SHA-256 under a key that only the listener has, over what the cookie says and whom it was given to;
// so the listener keeps nothing about a cookie that it has given, and nobody can make one, move it to another peer or
// make it cheaper. It is no proof of the peer's address: TCP has given that already (docs/adr/0018).
//
// Defends against floods of handshakes: each costs its sender 2^bits hashes on average, the listener two to check. Does
// not defend against whoever has more processors than the diallers that are to get through (Hashcash's limit).
#ifndef DOTAGENT_COMMON_SESSION_COOKIE_H_
#define DOTAGENT_COMMON_SESSION_COOKIE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/secret.h"

namespace dotagent::session {

inline constexpr size_t kCookieSize = 25;
inline constexpr size_t kCookieProofSize = kCookieSize + 8;
// A minute of work, or more, of one core.
inline constexpr int kMaxCookieBits = 28;

// A listener's. Its key lives as long as it does; nothing else changes.
class CookieMint {
 public:
  // How long after it was given a cookie may be used.
  static constexpr absl::Duration kLifetime = absl::Seconds(10);

  explicit CookieMint(Random& random);

  // kCookieSize bytes. `peer` is whatever tells this dialler from all others; 1 ≤ `bits` ≤ kMaxCookieBits.
  [[nodiscard]] std::string Make(absl::string_view peer, int bits, absl::Time now) const;

  // The bits of work that `proof` shows. InvalidArgument (PROTOCOL) if it has another size, Unauthenticated
  // (BAD_SIGNATURE) if its cookie was not given to `peer` by this mint, DeadlineExceeded (STALE) if that was too long
  // ago, FailedPrecondition (LIMIT) if the work was not done.
  [[nodiscard]] absl::StatusOr<int> Check(absl::string_view peer, absl::string_view proof, absl::Time now) const;

 private:
  [[nodiscard]] std::string Mac(absl::string_view peer, absl::string_view told) const;

  crypto::SecretBytes key_;
};

// A dialler's. Does the work in pieces, so that whoever drives it can do something else in between.
class CookieSolver {
 public:
  // InvalidArgument (PROTOCOL) if `cookie` has another size or asks for no work, ResourceExhausted (LIMIT) if it asks
  // for more than `max_bits`.
  [[nodiscard]] static absl::StatusOr<CookieSolver> Create(absl::string_view cookie, int max_bits, Random& random);

  // Tries `attempts` nonces; the proof once one of them is right.
  [[nodiscard]] std::optional<std::string> Work(uint64_t attempts);
  [[nodiscard]] int bits() const { return bits_; }

 private:
  CookieSolver(absl::string_view cookie, int bits, uint64_t nonce);

  std::string proof_;
  int bits_;
  uint64_t nonce_;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_COOKIE_H_
