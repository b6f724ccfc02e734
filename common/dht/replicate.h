// One value stored on the r nodes nearest to its key, and witnessed by the kWitnesses nearest, this node included.
#ifndef DOTAGENT_COMMON_DHT_REPLICATE_H_
#define DOTAGENT_COMMON_DHT_REPLICATE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "common/dht/peers.h"
#include "common/dht/types.h"
#include "common/dht/value_store.h"

namespace dotagent::dht {

struct ReplicateResult {
  std::vector<crypto::PublicKey> stored_by;  // nodes that confirmed that they keep it
  uint32_t asked = 0;                        // of those
  size_t witnesses = 0;                      // nodes that confirmed whose it is, those that keep it included
  size_t refused_owner = 0;                  // nodes that say that the key is another's
  std::vector<absl::Status> refusals;        // of nodes that answered, but refused
};

// Asks the r nearest of `nearest` (as FindValue gives them) and this node to keep it; for each that fails or has no
// room, the next nearest. One that refuses the value itself (the name is taken, the key revoked) is not made up for:
// otherwise a name could be taken by storing it just beyond the nodes that know its owner. The others of `nearest` are
// asked to witness it. Done when it is known who keeps it and enough witnesses have answered to decide whose it is; the
// other calls go on. `peers` must outlive it, or it ends unheard; `values` as `peers`.
void Replicate(Peers* peers, ValueStore* values, const Value& value, std::vector<Contact> nearest,
               std::function<void(ReplicateResult)> done);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_REPLICATE_H_
