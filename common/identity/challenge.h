// Challenge and response, mutual (§3.2, Authentication Protocol): each side signs both nonces and both keys under a
// context that names protocol, version, purpose and role.
//
// Defends against replay (both nonces are fresh), reflection (the roles sign different contexts), relay to another
// server or service (keys, purpose and the TLS certificate's hash are signed) and downgrade (the version is signed).
//
// Transcript that is signed (also in docs/protocol.md): context ‖ 0x00 ‖ client nonce ‖ server nonce ‖ client key ‖
// server key ‖ channel binding, each of the last five 32 bytes; context = "dotagent auth v1 " + purpose + (" client" |
// " server").
#ifndef DOTAGENT_COMMON_IDENTITY_CHALLENGE_H_
#define DOTAGENT_COMMON_IDENTITY_CHALLENGE_H_

#include <cstddef>
#include <list>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"

namespace dotagent::identity {

enum class AuthRole { kClient, kServer };

struct AuthTranscript {
  std::string purpose;       // such as "gateway" or "certificate"; 1 to 64 bytes, no NUL
  std::string client_nonce;  // 32 bytes
  std::string server_nonce;  // 32 bytes
  crypto::PublicKey client_key;
  crypto::PublicKey server_key;
  std::string channel_binding;  // SHA-256 of the server's TLS certificate (DER, RFC 5929 tls-server-end-point), or 32
                                // zero bytes without TLS
};

// The bytes that `role` signs. InvalidArgument (PROTOCOL) if a nonce or the binding is not 32 bytes, or the purpose is
// not as above.
[[nodiscard]] absl::StatusOr<std::string> AuthBytes(const AuthTranscript& transcript, AuthRole role);

// The server's side: challenges that wait for their answer. Each is answered once, within 60 s; at most `max_pending`
// wait, about 400 bytes each (further ones are refused with ResourceExhausted, LIMIT; whoever serves strangers limits
// challenges by address before this). Thread-safe, if `random` is; keys sign and signatures are checked outside its
// lock. `key` and `random` must outlive it.
//
//   Challenger challenger("gateway", node_key, certificate_sha256, random);
//   ASSIGN_OR_RETURN(const auto challenge, challenger.Begin(client_key, client_nonce, clock.Now()));
//   ...                                                                   // the client: AnswerChallenge
//   ASSIGN_OR_RETURN(const auto who, challenger.Finish(challenge.id, answer, clock.Now()));
class Challenger {
 public:
  Challenger(std::string purpose, const crypto::Signer& key, std::string channel_binding, Random& random,
             size_t max_pending = 10000);

  struct Challenge {
    std::string id;  // 16 random bytes
    std::string server_nonce;
    std::string server_signature;
  };
  [[nodiscard]] absl::StatusOr<Challenge> Begin(const crypto::PublicKey& client_key, absl::string_view client_nonce,
                                                absl::Time now);

  // The client's key. Unauthenticated (NOT_AUTHENTICATED) if the challenge is unknown, spent or late; Unauthenticated
  // (BAD_SIGNATURE) if the signature is wrong (spent all the same).
  [[nodiscard]] absl::StatusOr<crypto::PublicKey> Finish(absl::string_view id, absl::string_view client_signature,
                                                         absl::Time now);

 private:
  struct Pending {
    AuthTranscript transcript;
    absl::Time expires;
    std::list<std::string>::iterator place;  // in oldest_first_
  };
  using PendingById = absl::flat_hash_map<std::string, Pending>;
  // ResourceExhausted (LIMIT) if no more may wait.
  [[nodiscard]] absl::Status CheckRoom(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[nodiscard]] absl::StatusOr<AuthTranscript> Take(absl::string_view id, absl::Time now);
  void Drop(PendingById::iterator pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropExpired(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string purpose_;
  const crypto::Signer& key_;
  const std::string channel_binding_;
  Random& random_;
  const size_t max_pending_;
  Mutex mutex_;
  PendingById pending_ ABSL_GUARDED_BY(mutex_);
  std::list<std::string> oldest_first_ ABSL_GUARDED_BY(mutex_);  // the ids in pending_
};

// The client's side: checks the server's signature, then signs. Unauthenticated (BAD_SIGNATURE) if the server's proof
// fails.
[[nodiscard]] absl::StatusOr<std::string> AnswerChallenge(const AuthTranscript& transcript,
                                                          absl::string_view server_signature,
                                                          const crypto::Signer& key);

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_CHALLENGE_H_
