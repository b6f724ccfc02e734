// One lookup carried out: drives a Lookup over the network, checks what comes back, and says what it found.
//
// Bounded by kMaxLookupCalls calls and kQueryTimeout. Values are validated before they count; a node that returns one
// that is not valid under the key, or not of its kind, is out of the lookup and of the table.
#ifndef DOTAGENT_COMMON_DHT_QUERY_H_
#define DOTAGENT_COMMON_DHT_QUERY_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "common/dht/peers.h"
#include "common/dht/quorum.h"
#include "common/dht/types.h"
#include "common/dht/value_store.h"

namespace dotagent::dht {

// A lookup that takes longer ends with what it has.
inline constexpr absl::Duration kQueryTimeout = absl::Seconds(20);
// A node that has not answered for this long no longer holds a place among the α.
inline constexpr absl::Duration kPatience = absl::Milliseconds(500);

struct QueryResult {
  std::vector<Contact> nearest;  // nodes that answered, nearest first; at most k
  uint32_t asked = 0;
  uint32_t answered = 0;
  uint32_t hops = 0;
  bool complete = false;                // ended by its rule, not by a limit
  std::optional<Quorum::Answer> value;  // the best, of what was found and what this node holds
  bool revoked = false;                 // there were values, but their key is revoked
};

// Finds the k nodes nearest to `target`. `peers` must outlive the query, or it ends unheard.
void FindNodes(Peers* peers, const Id& target, std::function<void(QueryResult)> done);

enum class Thoroughness {
  // Ends as soon as a quorum decides, or the r nearest nodes have answered and there is a value; without one, when the
  // k nearest have answered.
  kEnough,
  // Always asks the k nearest.
  kAll,
};

// Finds the best value under `key`. This node's own vote counts; `values` as `peers`.
void FindValue(Peers* peers, const ValueStore* values, const Id& key, ValueKind kind, Thoroughness thoroughness,
               std::function<void(QueryResult)> done);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_QUERY_H_
