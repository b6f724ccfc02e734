// How agents prove their key to the gateway, and what they have for it afterwards: a token.
//
// Defends, besides what common/identity/challenge.h does, against tokens that outlive their key: a revoked key is asked
// about when it is challenged, once it has its token, and whenever the token is shown.
//
// Runs on gRPC's threads, not on the gateway's loop: signatures are most of what a proof costs, and a proof needs
// nothing of what lives on the loop. That a key's bytes are a point of prime order (as costly as a signature) is
// checked once: of keys that have proved themselves, the last 16,384 or more are remembered. Only a proof gets a key
// remembered, so strangers cannot push out those of agents by asking for challenges.
#ifndef DOTAGENT_SERVICES_GATEWAY_AUTHENTICATOR_H_
#define DOTAGENT_SERVICES_GATEWAY_AUTHENTICATOR_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/identity/challenge.h"
#include "common/telemetry/metrics.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/token_table.h"

namespace dotagent::gateway_service {

using RevocationCheck = std::function<bool(const crypto::PublicKey&)>;

// PermissionDenied (KEY_REVOKED), for agents.
[[nodiscard]] absl::Status KeyRevoked();

// Thread-safe, if `is_revoked`, `clock` and `random` are.
class Authenticator {
 public:
  struct Parts {
    const crypto::Signer& key;
    std::string channel_binding;  // SHA-256 of the TLS certificate
    RevocationCheck is_revoked;
    const Clock& clock;
    Random& random;
    telemetry::Metrics& metrics;
    TokenLimits tokens;
  };
  // All parts must outlive it.
  explicit Authenticator(const Parts& parts);

  // InvalidArgument (BAD_KEY, PROTOCOL), PermissionDenied (KEY_REVOKED), or ResourceExhausted (LIMIT) if too many
  // challenges wait. Costs a signature, for a key that is not known another one.
  [[nodiscard]] absl::StatusOr<gateway::v1::ChallengeResponse> Challenge(const gateway::v1::ChallengeRequest& request);
  // As identity::Challenger::Finish and TokenTable::Issue; PermissionDenied (KEY_REVOKED). Costs a verification.
  [[nodiscard]] absl::StatusOr<gateway::v1::AuthenticateResponse> Authenticate(
      const gateway::v1::AuthenticateRequest& request);

  // A token for the one agent whose key this process holds (sidecar.h): it proves nothing, has no end of its own, and
  // dies with the key. A second call takes the first one's place.
  [[nodiscard]] std::string AdmitLocal(const crypto::PublicKey& key);

  // Whose token this is. As TokenTable::Check; PermissionDenied (KEY_REVOKED).
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Agent>> Caller(absl::string_view token) const;
  // Forgets every token of `key`; returns how many.
  size_t Revoke(const crypto::PublicKey& key);
  void DropExpired(absl::Time now);

 private:
  [[nodiscard]] absl::StatusOr<crypto::PublicKey> ParseKey(absl::string_view bytes) const;
  [[nodiscard]] absl::StatusOr<TokenTable::Issued> Issue(const crypto::PublicKey& key, absl::Time now);

  const Parts parts_;
  identity::Challenger challenger_;
  mutable Mutex mutex_;
  TokenTable tokens_ ABSL_GUARDED_BY(mutex_);
  std::string local_token_ ABSL_GUARDED_BY(mutex_);  // empty: there is no local agent
  std::shared_ptr<Agent> local_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<crypto::PublicKey> proved_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<crypto::PublicKey> proved_before_ ABSL_GUARDED_BY(mutex_);
  telemetry::Counter& authenticated_;
  telemetry::Counter& refused_proofs_;
  telemetry::Counter& refused_revoked_;
  telemetry::Gauge& token_count_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_AUTHENTICATOR_H_
