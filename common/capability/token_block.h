// One block of a capability token (token.h): its rules, its signature, and what it means to narrow another.
//
//   signed bytes  "dotagent token block v1\0" ‖ serialized v1.TokenBlock (protos/dotagent/capability/v1/token.proto)
//   block id      SHA-256(signed bytes)
//
// The id does not depend on the signature, so its issuer cannot give one block two ids; it does depend on the issuer's
// key, which the block names, so nobody can sign another's block again under the same id.
#ifndef DOTAGENT_COMMON_CAPABILITY_TOKEN_BLOCK_H_
#define DOTAGENT_COMMON_CAPABILITY_TOKEN_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/capability/resource.h"
#include "common/crypto/keys.h"

namespace dotagent::capability {

inline constexpr absl::string_view kTokenBlockContext("dotagent token block v1\0", 24);
inline constexpr size_t kMaxTokenActions = 16;
inline constexpr size_t kMaxTokenActionSize = 64;
inline constexpr size_t kTokenNonceSize = 16;
inline constexpr uint64_t kMaxTokenUses = 1'000'000'000;
inline constexpr absl::Duration kMaxTokenLifetime = absl::Hours(24 * 366);

// InvalidArgument (BAD_TOKEN).
[[nodiscard]] absl::Status BadToken(absl::string_view message);

// A value. Times in whole milliseconds.
struct TokenBlock {
  std::string id;  // 32 bytes
  // Its issuer's key has verified its signature; the audience's has not been looked at (token.h says who does).
  crypto::PublicKey issuer;
  crypto::PublicKey audience;
  Resource resource;
  std::vector<std::string> actions;  // ascending, each once
  absl::Time not_before;
  absl::Time expires;
  uint64_t max_uses = 0;  // 0: as often as one likes
  std::string nonce;
  std::string previous;  // the id of the block before; empty in the first
};

// InvalidArgument (BAD_TOKEN) unless `action` is 1 to 64 lower-case letters, digits and inner "-._".
[[nodiscard]] absl::Status CheckAction(absl::string_view action);

// What was signed, apart from who signs it. Actions may come in any order.
struct TokenGrant {
  crypto::PublicKey audience;
  std::string resource;
  std::vector<std::string> actions;
  absl::Time not_before;
  absl::Time expires;
  uint64_t max_uses = 0;
};
// A serialized SignedStatement. `nonce`: 16 random bytes. InvalidArgument (BAD_TOKEN) if a rule of blocks is broken, or
// whatever the signer fails with.
[[nodiscard]] absl::StatusOr<std::string> SignTokenBlock(const crypto::Signer& issuer, const TokenGrant& grant,
                                                         absl::string_view previous, absl::string_view nonce);

// The outer form of a block: views of its bytes, nothing verified.
struct TokenEnvelope {
  absl::string_view payload;
  absl::string_view public_key;
  absl::string_view signature;
  std::string signed_bytes;  // context string ‖ payload
  std::string id;            // SHA-256 of them
};
// InvalidArgument: TOKEN_CUT, UNKNOWN_FIELD, BAD_TOKEN.
[[nodiscard]] absl::StatusOr<TokenEnvelope> ReadTokenEnvelope(absl::string_view statement);

// Verifies the signature, then reads what was signed. InvalidArgument: BAD_SIGNATURE, TOKEN_CUT, UNKNOWN_FIELD,
// BAD_TOKEN. About 55 µs.
[[nodiscard]] absl::StatusOr<TokenBlock> VerifyTokenBlock(const TokenEnvelope& envelope);

// OK if `block`, issued by `before`'s audience, gives nothing that `before` does not. InvalidArgument (TOKEN_WIDENED)
// says what it widens: audience, resource, actions, time or uses.
[[nodiscard]] absl::Status CheckNarrows(const TokenBlock& block, const TokenBlock& before);

}  // namespace dotagent::capability

#endif  // DOTAGENT_COMMON_CAPABILITY_TOKEN_BLOCK_H_
