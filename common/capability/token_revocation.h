// Taking a capability token back: "this block holds no more, nor does any behind it", signed (§3.3, Revocation).
//
//   signed bytes  "dotagent token revocation v1\0" ‖ serialized v1.TokenRevocation
//
// Its signer is the issuer of that block, or of one before it in its chain: whoever gave something may take it back,
// wherever it has gone since. A revocation needs no evidence, because it says nothing about blocks that its signer has
// not issued: RevokedBlocks notes who revoked what, and only a chain in which that key issued that block or an earlier
// one is refused. So a stranger's revocations, which anyone can sign, do no harm but take up room.
#ifndef DOTAGENT_COMMON_CAPABILITY_TOKEN_REVOCATION_H_
#define DOTAGENT_COMMON_CAPABILITY_TOKEN_REVOCATION_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/capability/token.h"
#include "common/crypto/keys.h"

namespace dotagent::capability {

inline constexpr size_t kMaxTokenRevocationSize = 512;

struct TokenRevocation {
  std::string block;  // its id, 32 bytes
  crypto::PublicKey signer;
  std::string reason;
  absl::Time revoked_at;
};

// A serialized SignedStatement. InvalidArgument (BAD_STATEMENT) if `block` is not 32 bytes, or `reason` over 256 bytes
// or not UTF-8; or whatever the signer fails with.
[[nodiscard]] absl::StatusOr<std::string> SignTokenRevocation(const crypto::Signer& signer, absl::string_view block,
                                                              absl::string_view reason, absl::Time now);

// Checks size, form, signature, then what was signed. InvalidArgument: TOO_LARGE, BAD_STATEMENT (also if it is dated
// over 5 minutes ahead), BAD_SIGNATURE. An old one stays valid: revoking is final. About 110 µs.
[[nodiscard]] absl::StatusOr<TokenRevocation> VerifyTokenRevocation(absl::string_view statement, absl::Time now);

// Which blocks are revoked, by whom. Not thread-safe. Takes about 120 bytes a revocation.
//
// By block and signer, without a limit of signers for a block: with one, a holder could fill it with revocations by
// keys of his own, and keep the issuer's out.
class RevokedBlocks {
 public:
  // Idempotent. False if it was known.
  bool Add(const std::string& block, const crypto::PublicKey& signer) { return revoked_.emplace(block, signer).second; }

  // PermissionDenied (TOKEN_REVOKED), saying which block, if one was revoked by a key that may. About 30 ns for each
  // pair of a block and an issuer at or before it.
  [[nodiscard]] absl::Status Check(const Token& token) const;

  [[nodiscard]] size_t size() const { return revoked_.size(); }

 private:
  absl::flat_hash_set<std::pair<std::string, crypto::PublicKey>> revoked_;
};

}  // namespace dotagent::capability

#endif  // DOTAGENT_COMMON_CAPABILITY_TOKEN_REVOCATION_H_
