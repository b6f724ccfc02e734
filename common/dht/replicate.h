// One value stored on the nodes nearest to its key, this one included if it is among them.
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
  std::vector<crypto::PublicKey> stored_by;  // nodes that confirmed
  uint32_t asked = 0;
  std::vector<absl::Status> refusals;  // of nodes that answered, but refused
};

// Asks the r nearest of `nearest` (as FindNodes gives them) and this node; for each that fails or has no room, the next
// nearest. One that refuses the value itself (the name is taken, the key revoked) is not made up for: otherwise a name
// could be taken by storing it just beyond the nodes that know its owner. `peers` must outlive it, or it ends unheard;
// `values` as `peers`.
void Replicate(Peers* peers, ValueStore* values, const Value& value, std::vector<Contact> nearest,
               std::function<void(ReplicateResult)> done);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_REPLICATE_H_
