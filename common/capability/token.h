// Capability tokens: what an agent lets others do with its resources, handed on from key to key and verified offline
// (§3.3; the ideas are macaroons', biscuit's and UCAN's).
//
// A token is a chain of signed blocks (token_block.h). The first is signed by the owner of the resource and gives
// something to a key; whoever holds that key may sign a further block that gives the same or less to another key. The
// token speaks for the last key only, and only to a verifier to whom that key has been proved: by the gateway's
// authentication, or by the session itself. Knowing a token is worth nothing.
//
// Defends against:
//   a token of somebody who owns nothing    the verifier knows whose the resource is: NOT_OWNER;
//   a stolen token                          the presenter proves the last audience's key: KEY_MISMATCH;
//   a block that gives more than it may     TOKEN_WIDENED;
//   blocks put together anew                each names the one before by hash. TOKEN_CUT: the beginning is missing, or
//                                           the bytes end too early; TOKEN_REORDERED: the block before is elsewhere in
//                                           the token; TOKEN_SPLICED: it is of another chain; TOKEN_REPLAYED: one block
//                                           stands twice;
//   a field that a newer release forbids by UNKNOWN_FIELD: there are no fields that a reader may pass over;
//   floods                                  8 blocks and 8 KiB at most (TOO_LARGE), looked at before memory is taken;
//                                           verified from the front, so that the first bad block ends it.
// Not against a holder who shares his key, nor against uses beyond max_uses: identity counts those (services/identity).
// Departs from §2 of docs/protocol.md in one point: the key of a middle block need not lie in the subgroup of prime
// order (small-order keys are refused, as in every signature). Checking that costs as much as a signature, and what it
// prevents, that two verifiers disagree on a signature, here harms only those to whom its maker handed the token on.
//
//   const std::string token = *IssueToken(bob, {.audience = alice, .resource = "agent://bob.agent/calendar",
//                                               .actions = {"read"}, .not_before = now, .expires = now + day}, nonce);
//   ASSIGN_OR_RETURN(const Token verified, VerifyToken(token));
//   RETURN_IF_ERROR(verified.Allows({.owners = {bob.public_key()}, .presenter = alice, .resource = asked,
//                                    .action = "read"}, now));
#ifndef DOTAGENT_COMMON_CAPABILITY_TOKEN_H_
#define DOTAGENT_COMMON_CAPABILITY_TOKEN_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/capability/resource.h"
#include "common/capability/token_block.h"
#include "common/crypto/keys.h"

namespace dotagent::capability {

inline constexpr size_t kMaxTokenSize = 8192;
inline constexpr size_t kMaxTokenBlocks = 8;

// What somebody asks for with a token. Views: valid for as long as what they are of.
struct TokenAccess {
  // The keys that own the agent which the resource names: its record's, or more of its identity's.
  absl::Span<const crypto::PublicKey> owners;
  const crypto::PublicKey& presenter;  // proved to the caller
  const Resource& resource;
  absl::string_view action;
};

// A chain whose signatures and links have been verified. A value. What it allows depends on the time and on who asks.
class Token {
 public:
  // Not empty.
  [[nodiscard]] const std::vector<TokenBlock>& blocks() const { return blocks_; }
  [[nodiscard]] const crypto::PublicKey& owner() const { return blocks_.front().issuer; }
  [[nodiscard]] const TokenBlock& last() const { return blocks_.back(); }
  // Each block narrows, so the last one's times are the token's.
  [[nodiscard]] absl::Time expires() const { return last().expires; }
  // True if a block counts its uses.
  [[nodiscard]] bool counted() const { return last().max_uses != 0; }

  // FailedPrecondition: FUTURE_DATED before it holds, STALE once it has ended.
  [[nodiscard]] absl::Status HoldsAt(absl::Time now) const;

  // PermissionDenied: NOT_OWNER, KEY_MISMATCH (another presenter), NOT_COVERED (resource or action).
  // FailedPrecondition as HoldsAt. In this order: owner, presenter, time,
  // resource and action. Does not know of revocations (token_cache.h) nor of uses.
  [[nodiscard]] absl::Status Allows(const TokenAccess& access, absl::Time now) const;

 private:
  friend absl::StatusOr<Token> VerifyToken(absl::string_view bytes);
  explicit Token(std::vector<TokenBlock> blocks) : blocks_(std::move(blocks)) {}
  std::vector<TokenBlock> blocks_;
};

// Checks a token's size, form, signatures and links, not who shows it, when or for what. InvalidArgument with a reason
// of the list above, TOO_LARGE, BAD_TOKEN or BAD_SIGNATURE; the message says which block, counted from 1. About 55 µs a
// block.
[[nodiscard]] absl::StatusOr<Token> VerifyToken(absl::string_view bytes);

// A token of one block. `nonce`: 16 random bytes. As SignTokenBlock.
[[nodiscard]] absl::StatusOr<std::string> IssueToken(const crypto::Signer& owner, const TokenGrant& grant,
                                                     absl::string_view nonce);

// `token` with a block more, signed by its holder. As VerifyToken and SignTokenBlock; KEY_MISMATCH if `holder` is not
// the last audience, TOKEN_WIDENED, and FailedPrecondition (LIMIT) if the chain is full.
[[nodiscard]] absl::StatusOr<std::string> DelegateToken(absl::string_view token, const crypto::Signer& holder,
                                                        const TokenGrant& grant, absl::string_view nonce);

}  // namespace dotagent::capability

#endif  // DOTAGENT_COMMON_CAPABILITY_TOKEN_H_
