// Tokens that have been verified, so that one which comes with every request costs its signatures once.
//
// Keyed by the SHA-256 of the token's bytes. What is kept is that the chain is valid; who shows it, when and for what
// is looked at every time. An entry goes when its token ends, when one of its blocks or keys is revoked, or to make
// room: the least recently used first. Only tokens that were signed by the resource's owner and shown by their holder
// get in, so that a stranger's do not push out others.
//
//   ASSIGN_OR_RETURN(const auto token, cache.Check(bytes, access, now));
#ifndef DOTAGENT_COMMON_CAPABILITY_TOKEN_CACHE_H_
#define DOTAGENT_COMMON_CAPABILITY_TOKEN_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/capability/token.h"
#include "common/capability/token_revocation.h"
#include "common/crypto/keys.h"

namespace dotagent::capability {

// Not thread-safe.
class TokenCache {
 public:
  using KeyRevoked = std::function<bool(const crypto::PublicKey&)>;

  // `max_bytes`: of the tokens kept, which take about three times as much memory. `key_revoked` knows every key that is
  // revoked, and must from the moment at which OnKeyRevoked is called.
  TokenCache(size_t max_bytes, KeyRevoked key_revoked) : max_bytes_(max_bytes), key_revoked_(std::move(key_revoked)) {}

  // As VerifyToken and Token::Allows, and PermissionDenied: TOKEN_REVOKED, or KEY_REVOKED if a key of the chain was.
  // About 1 µs for a token of 3 blocks that is known.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<const Token>> Check(absl::string_view bytes, const TokenAccess& access,
                                                                   absl::Time now);

  // For who has others check the access: as VerifyToken, STALE once it has ended, TOKEN_REVOKED and KEY_REVOKED.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<const Token>> Check(absl::string_view bytes, absl::Time now);

  // For what a token opened and is still open: PermissionDenied (TOKEN_REVOKED, KEY_REVOKED) if one of its blocks or
  // keys has been revoked since.
  [[nodiscard]] absl::Status CheckRevocations(const Token& token) const;

  // Whoever hears of a revocation calls these; what they concern is refused from then on.
  void OnBlockRevoked(const std::string& block, const crypto::PublicKey& signer);
  void OnKeyRevoked(const crypto::PublicKey& key);

  [[nodiscard]] size_t size() const { return entries_.size(); }
  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] uint64_t hits() const { return hits_; }
  [[nodiscard]] uint64_t misses() const { return misses_; }

 private:
  struct Entry;
  using Place = std::list<Entry>::iterator;
  struct Entry {
    std::string digest;
    size_t size = 0;  // of the token
    std::shared_ptr<const Token> token;
    Place self = {};
  };

  // The entry, which is now the most recently used; nullptr if there is none, or its token has ended.
  [[nodiscard]] std::shared_ptr<const Token> Find(const std::string& digest, absl::Time now);
  [[nodiscard]] absl::StatusOr<std::shared_ptr<const Token>> Verify(absl::string_view bytes);
  void Insert(std::string digest, size_t size, std::shared_ptr<const Token> token);
  void Evict(Place place);
  [[nodiscard]] std::vector<Place> MarkedWith(absl::string_view mark) const;
  // Under what an entry can be found to be evicted: the ids of its blocks and its keys, each once.
  [[nodiscard]] static std::vector<std::string> MarksOf(const Token& token);

  const size_t max_bytes_;
  const KeyRevoked key_revoked_;
  RevokedBlocks revoked_;
  std::list<Entry> entries_;  // the most recently used first
  absl::flat_hash_map<std::string, Place> by_digest_;
  absl::flat_hash_map<std::string, absl::flat_hash_set<const Entry*>> by_mark_;
  size_t bytes_ = 0;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
};

}  // namespace dotagent::capability

#endif  // DOTAGENT_COMMON_CAPABILITY_TOKEN_CACHE_H_
