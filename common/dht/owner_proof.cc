#include "common/dht/owner_proof.h"

#include <optional>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/identity/agent_id.h"
#include "common/identity/rotation.h"

namespace dotagent::dht {

namespace {

// std::nullopt for a key that goes without one, its identity's first.
absl::StatusOr<std::optional<identity::RotationChain>> ChainOf(const std::string& bytes) {
  if (bytes.empty()) return std::optional<identity::RotationChain>();
  ASSIGN_OR_RETURN(const std::vector<std::string> statements, identity::DecodeRotationChain(bytes));
  ASSIGN_OR_RETURN(identity::RotationChain chain, identity::VerifyRotationChain(statements, absl::InfiniteFuture()));
  return std::optional<identity::RotationChain>(std::move(chain));
}

}  // namespace

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

absl::StatusOr<bool> TookThePlaceOf(const KeyOfOwner& held, const KeyOfOwner& offered) {
  ASSIGN_OR_RETURN(const std::optional<identity::RotationChain> ours, ChainOf(held.chain));
  ASSIGN_OR_RETURN(const std::optional<identity::RotationChain> theirs, ChainOf(offered.chain));
  const bool fork =
      ours && theirs && identity::CompareRotationChains(*ours, *theirs).relation == identity::ChainRelation::kFork;
  if (!fork && theirs && theirs->KeyWasOf(held.signer)) return true;
  if (!fork && ours && ours->KeyWasOf(offered.signer)) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kSuperseded,
                           "the key that signed it was retired: a record of the key that took its place is held; sign "
                           "with the identity's current key, and send its rotation chain");
  }
  return ErrorWithReason(absl::StatusCode::kAborted, reason::kConflict,
                         "its rotation chain parts from the one of the record that is held: someone has used keys that "
                         "were retired; make a new identity");
}

}  // namespace dotagent::dht
