#include "common/dht/revocation_value.h"

#include <string>
#include <tuple>

#include "common/base/status.h"
#include "common/identity/agent_id.h"
#include "common/identity/revocation.h"

namespace dotagent::dht {

size_t RevocationValue::max_size() const { return identity::kMaxRevocationSize; }

absl::StatusOr<Value> RevocationValue::Validate(const Item& item, absl::Time now) const {
  ASSIGN_OR_RETURN(const std::string rotation_chain, ChainInProof(item.proof));
  ASSIGN_OR_RETURN(const identity::Revocation revocation,
                   identity::VerifyRevocationWith(item.bytes, rotation_chain, now, policy_.registrars));
  ASSIGN_OR_RETURN(const Id key,
                   Id::FromBytes(identity::RevocationKey(identity::AgentId::FromFirstKey(revocation.public_key))));
  ASSIGN_OR_RETURN(const Id owner, Id::FromBytes(revocation.agent_id.bytes()));
  return Value{.kind = ValueKind::kRevocation,
               .key = key,
               .owner = owner,
               .signer = revocation.public_key,
               .timestamp = revocation.revoked_at,
               .expires = absl::InfiniteFuture(),
               .item = item};
}

absl::StatusOr<bool> RevocationValue::Replaces(const Value& held, const Value& offered) const {
  return std::tie(offered.timestamp, offered.item.bytes) < std::tie(held.timestamp, held.item.bytes);
}

absl::Status RevocationValue::Absent() const { return absl::NotFoundError("no node holds a revocation of this key"); }

Id RevocationValue::KeyFor(const crypto::PublicKey& revoked) {
  // A SHA-256 is always the right size.
  return *Id::FromBytes(identity::RevocationKey(identity::AgentId::FromFirstKey(revoked)));
}

}  // namespace dotagent::dht
