#include "common/dht/owner_proof.h"

#include <vector>

#include "common/base/status.h"
#include "common/identity/agent_id.h"
#include "common/identity/rotation.h"

namespace dotagent::dht {

absl::StatusOr<Id> OwnerOf(const crypto::PublicKey& signer, const std::string& rotation_chain, absl::Time now) {
  if (rotation_chain.empty()) return Id::FromBytes(identity::AgentId::FromFirstKey(signer).bytes());
  ASSIGN_OR_RETURN(const std::vector<std::string> statements, identity::DecodeRotationChain(rotation_chain));
  ASSIGN_OR_RETURN(const identity::RotationChain chain, identity::VerifyRotationChain(statements, now));
  if (chain.current() != signer) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kKeyMismatch,
                           "the rotation chain that goes with the value ends in another key than the one that signed "
                           "the value; sign with the current key, or send the newest chain");
  }
  return Id::FromBytes(chain.agent.bytes());
}

}  // namespace dotagent::dht
