// Whose key signed a value: the identity that began with it, or, as a rotation chain shows, that rotated to it.
// Internal to this room.
#ifndef DOTAGENT_COMMON_DHT_OWNER_PROOF_H_
#define DOTAGENT_COMMON_DHT_OWNER_PROOF_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/dht/types.h"

namespace dotagent::dht {

// `rotation_chain` as in v1::Proof; empty: the signer is its identity's first key. InvalidArgument (KEY_MISMATCH if the
// chain ends in another key, or what VerifyRotationChain says).
[[nodiscard]] absl::StatusOr<Id> OwnerOf(const crypto::PublicKey& signer, const std::string& rotation_chain,
                                         absl::Time now);

// Which of two keys of one owner is the newer one, by what goes with the values that they signed (`chain` as above;
// both were validated before, dates and all). True: `offered` took `held`'s place. FailedPrecondition (SUPERSEDED) the
// other way round: a key that was retired may not take a name back. Aborted (CONFLICT) if the chains part: what is held
// stays.
struct KeyOfOwner {
  const crypto::PublicKey& signer;
  const std::string& chain;
};
[[nodiscard]] absl::StatusOr<bool> TookThePlaceOf(const KeyOfOwner& held, const KeyOfOwner& offered);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_OWNER_PROOF_H_
