// The node's key, in a file, a token or sealed to a TPM (crypto/key_store.h). Where the network puts a price on keys
// (dht/puzzle.h) it is made at the first start so that its node solves the static puzzle, and refused later if it does
// not solve the one that is asked for then.
#ifndef DOTAGENT_SERVICES_HOST_NODE_KEY_H_
#define DOTAGENT_SERVICES_HOST_NODE_KEY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/dht/puzzle.h"

namespace dotagent::host {

// Opens the key at `address`, making one first if there is none; 0 bits: any key does. FailedPrecondition (BAD_KEY) if
// the key that is there does not solve the puzzle: says what to do. Logs that the work has begun, and every 10 s how
// far it is; Cancelled once SIGTERM or SIGINT waits to be taken.
[[nodiscard]] absl::StatusOr<std::shared_ptr<const crypto::Signer>> ReadOrMakeNodeKey(const std::string& address,
                                                                                      int puzzle_bits, Random& random,
                                                                                      const Clock& clock);

// Logs how a puzzle of so many bits, which `what` names, gets on.
[[nodiscard]] dht::PuzzleProgress LoggedProgress(const std::string& what, int bits, const Clock& clock);

}  // namespace dotagent::host

#endif  // DOTAGENT_SERVICES_HOST_NODE_KEY_H_
