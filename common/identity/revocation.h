// Revocations: "trust this key no more", signed (§3.2, Revocation).
//
// In this version the revoked key itself signs. (An attacker who has stolen a key can revoke it too; that only ends his
// own use of it.) The statement travels as the bytes that were signed: verified first, parsed after.
#ifndef DOTAGENT_COMMON_IDENTITY_REVOCATION_H_
#define DOTAGENT_COMMON_IDENTITY_REVOCATION_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/identity/agent_id.h"

namespace dotagent::identity {

inline constexpr size_t kMaxRevocationSize = 1024;

struct Revocation {
  AgentId agent_id;
  crypto::PublicKey public_key;
  std::string reason;
  absl::Time revoked_at;
};

// A serialized dotagent.identity.v1.SignedStatement. InvalidArgument (BAD_STATEMENT) if `reason` is over 256 bytes or
// not UTF-8.
[[nodiscard]] absl::StatusOr<std::string> SignRevocation(const crypto::Signer& key, absl::string_view reason,
                                                         absl::Time now);

// Checks size, signature and every field; `now` refuses one dated over 5 minutes ahead. InvalidArgument (BAD_STATEMENT
// or BAD_SIGNATURE). An old revocation stays valid: revoking is final. About 110 µs.
[[nodiscard]] absl::StatusOr<Revocation> VerifyRevocation(absl::string_view statement, absl::Time now);

// The DHT key of an identity's revocation: SHA-256("revocation:" ‖ AgentId bytes).
[[nodiscard]] std::string RevocationKey(const AgentId& id);

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_REVOCATION_H_
