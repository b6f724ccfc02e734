// Key rotation with pre-rotation: the chain of events by which an identity passes from key to key and stays the same
// (§3.1; the idea is KERI's, arXiv:1907.02143).
//
// The first event, the inception, is signed by the first key and commits to the next one by its SHA-256. Each rotation
// reveals the committed key, commits to the one after, and is signed by both the key that goes and the one that comes.
// A chain proves itself: no server, clock or network is needed to verify it, only the AgentId.
//
// Defends against:
//   a stolen current key      it cannot rotate: the next key's signature is needed, and of that key only a hash is
//                             known. Keep the next key elsewhere (offline) until it is needed;
//   a stolen next key         it cannot rotate either: the current key must sign too;
//   a replayed older chain    it is a prefix of the newer one: CompareRotationChains tells, the longer counts;
//   a forked chain            only who holds a retired key and its successor, or the current key and the next, can make
//                             one; the same function finds it. Who has seen one branch keeps to it; a store
//                             reports the other as a conflict. Destroy keys once they are retired.
// Does not defend an identity whose inception was never published: who steals its first key can publish one of his own.
// So publish it with the first record. Departs from KERI: one key at a time, no thresholds, no witnesses of its own
// (the DHT's witness the chain), Protocol Buffers, and the key that goes must sign too: who loses it has lost the
// identity.
//
//   std::vector<std::string> chain = {*MakeInception(k0, k1.public_key(), now)};
//   ASSIGN_OR_RETURN(const RotationChain verified, VerifyRotationChain(chain, now));
//   chain.push_back(*MakeRotation(verified, k0, k1, k2.public_key(), now));
#ifndef DOTAGENT_COMMON_IDENTITY_ROTATION_H_
#define DOTAGENT_COMMON_IDENTITY_ROTATION_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/crypto/keys.h"
#include "common/identity/agent_id.h"

namespace dotagent::identity {

// An identity can rotate 47 times: so a whole chain is one value of the DHT. It then makes a new identity.
inline constexpr size_t kMaxRotationStatements = 48;
inline constexpr size_t kMaxRotationStatementSize = 320;  // bytes; a rotation has 314
// A chain as one value (EncodeRotationChain): 48 statements of 320 bytes, and 3 bytes before each.
inline constexpr size_t kMaxRotationChainSize = 16 * 1024;

struct RotationEvent {
  crypto::PublicKey key;  // the one that became current
  // SHA-256 of what the signer signed (context string ‖ payload): the event's name, whatever its signatures look like.
  std::string digest;
  absl::Time signed_at;  // says the signer
};

// A chain that has been verified. A value.
struct RotationChain {
  AgentId agent;
  std::vector<RotationEvent> events;  // the inception first; never empty
  std::string next_commitment;        // SHA-256 of the key that may come next, 32 bytes

  [[nodiscard]] const crypto::PublicKey& first() const { return events.front().key; }
  [[nodiscard]] const crypto::PublicKey& current() const { return events.back().key; }
  [[nodiscard]] size_t length() const { return events.size(); }
  [[nodiscard]] absl::Time newest() const { return events.back().signed_at; }
  // True if `key` is or once was the identity's.
  [[nodiscard]] bool KeyWasOf(const crypto::PublicKey& key) const;
  // True if `successor` is the key that took or may take `key`'s place.
  [[nodiscard]] bool Succeeds(const crypto::PublicKey& successor, const crypto::PublicKey& key) const;
};

// The first statement of an identity: a serialized SignedStatement. InvalidArgument (KEY_MISMATCH) if `next` is the
// first key itself.
[[nodiscard]] absl::StatusOr<std::string> MakeInception(const crypto::Signer& first, const crypto::PublicKey& next,
                                                        absl::Time now);

// The statement that goes behind `chain`'s. InvalidArgument (KEY_MISMATCH) unless `current` is its current key, `next`
// the one that it commits to, and `after_next` a new one. FailedPrecondition: LIMIT if the chain is full, FUTURE_DATED
// if its newest event is dated after `now`. About 50 µs with keys in memory.
[[nodiscard]] absl::StatusOr<std::string> MakeRotation(const RotationChain& chain, const crypto::Signer& current,
                                                       const crypto::Signer& next, const crypto::PublicKey& after_next,
                                                       absl::Time now);

// Checks a chain whole. InvalidArgument: BAD_STATEMENT (form, order, keys used twice, a key that was not committed to,
// dates that run backwards or over 5 minutes ahead), TOO_LARGE (over a limit above), BAD_SIGNATURE. About 100 µs for
// the inception and 150 µs for each rotation, so 7 ms at most: keep the result, not the bytes.
[[nodiscard]] absl::StatusOr<RotationChain> VerifyRotationChain(absl::Span<const std::string> statements,
                                                                absl::Time now);

// A chain as one string of bytes (statements.proto's RotationChain), and back. Decode checks the form only:
// InvalidArgument (BAD_STATEMENT, TOO_LARGE).
[[nodiscard]] std::string EncodeRotationChain(absl::Span<const std::string> statements);
[[nodiscard]] absl::StatusOr<std::vector<std::string>> DecodeRotationChain(absl::string_view bytes);

enum class ChainRelation {
  kSame,       // the same events
  kOlder,      // `a` is the beginning of `b`
  kNewer,      // `b` is the beginning of `a`
  kFork,       // one identity, but each has an event that the other lacks: a conflict
  kStrangers,  // two identities
};
struct ChainComparison {
  ChainRelation relation;
  size_t common;  // how many events, from the inception on, both have
};
[[nodiscard]] ChainComparison CompareRotationChains(const RotationChain& a, const RotationChain& b);

// The DHT key of an identity's chain: SHA-256("rotation:" ‖ AgentId bytes).
[[nodiscard]] std::string RotationKey(const AgentId& id);

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_ROTATION_H_
