// Bearer tokens: what an agent shows after it has authenticated, so that it proves its key once and not at every call.
//
// Defends against a leak of the gateway's memory or logs (only the SHA-256 of a token is kept, so what is read there
// opens nothing), guessing (256 random bits; looking a hash up tells an attacker nothing about its preimage through
// time), and an agent that hoards tokens (a cap a key: the oldest goes; a cap in all).
//
// In memory only: after a restart agents authenticate again, which costs them one round trip.
#ifndef DOTAGENT_SERVICES_GATEWAY_TOKEN_TABLE_H_
#define DOTAGENT_SERVICES_GATEWAY_TOKEN_TABLE_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"

namespace dotagent::gateway_service {

// An authenticated agent, as the calls made with one token share it.
struct Agent {
  crypto::PublicKey key;
  // Names whose record held `key` when it was last looked at, and until when that is believed (holder_check.h).
  absl::flat_hash_map<std::string, absl::Time> names;
};

struct TokenLimits {
  absl::Duration lifetime = absl::Hours(1);
  size_t max_per_key = 16;
  size_t max_tokens = 100'000;
};

// Not thread-safe.
class TokenTable {
 public:
  TokenTable(Random& random, const TokenLimits& limits) : random_(random), limits_(limits) {}

  struct Issued {
    std::string token;  // 64 hexadecimal digits; a secret
    absl::Time expires;
  };
  // ResourceExhausted (LIMIT) if the table is full.
  [[nodiscard]] absl::StatusOr<Issued> Issue(const crypto::PublicKey& key, absl::Time now);

  // Unauthenticated (NOT_AUTHENTICATED) if the token is unknown, past its time, or died with its key.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Agent>> Check(absl::string_view token, absl::Time now) const;

  // Forgets every token of `key`; returns how many.
  size_t Revoke(const crypto::PublicKey& key);

  void DropExpired(absl::Time now);
  [[nodiscard]] size_t size() const { return tokens_.size(); }

 private:
  struct Entry {
    std::shared_ptr<Agent> agent;
    absl::Time expires;
  };
  void Erase(const std::string& digest);

  Random& random_;
  const TokenLimits limits_;
  absl::flat_hash_map<std::string, Entry> tokens_;                          // by SHA-256 of the token
  absl::flat_hash_map<crypto::PublicKey, std::deque<std::string>> by_key_;  // digests, oldest first
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_TOKEN_TABLE_H_
