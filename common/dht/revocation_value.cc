#include "common/dht/revocation_value.h"

#include <tuple>

#include "common/base/status.h"
#include "common/identity/agent_id.h"
#include "common/identity/revocation.h"

namespace dotagent::dht {

size_t RevocationValue::max_size() const { return identity::kMaxRevocationSize; }

absl::StatusOr<Value> RevocationValue::Validate(absl::string_view bytes, absl::Time now) const {
  ASSIGN_OR_RETURN(const identity::Revocation revocation, identity::VerifyRevocation(bytes, now));
  if (identity::AgentId::FromFirstKey(revocation.public_key) != revocation.agent_id) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kKeyMismatch,
                           "the revocation names an identity that is not its signer's; sign it with the key to revoke");
  }
  ASSIGN_OR_RETURN(const Id key, Id::FromBytes(identity::RevocationKey(revocation.agent_id)));
  return Value{.kind = ValueKind::kRevocation,
               .key = key,
               .owner = std::string(revocation.public_key.bytes()),
               .timestamp = revocation.revoked_at,
               .expires = absl::InfiniteFuture(),
               .bytes = std::string(bytes)};
}

absl::StatusOr<bool> RevocationValue::Replaces(const Value& held, const Value& offered) const {
  return std::tie(offered.timestamp, offered.bytes) < std::tie(held.timestamp, held.bytes);
}

absl::Status RevocationValue::Absent() const { return absl::NotFoundError("no node holds a revocation of this key"); }

absl::StatusOr<Id> RevocationValue::KeyFor(absl::string_view owner) {
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromBytes(owner));
  return Id::FromBytes(identity::RevocationKey(identity::AgentId::FromFirstKey(key)));
}

}  // namespace dotagent::dht
