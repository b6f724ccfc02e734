// Reading a key that many owners share: asks the nodes nearest to it for what they hold, page by page, and puts it
// together: one value an owner, the newest, each checked.
//
// The attackers: nodes that hold back what they have, make up owners without number, answer one value a page, or send
// what is not valid. So kCollectFrom nodes are asked, not only the r that should hold a value: with 20 % hostile nodes
// all 5 holders of one are for 3 values in 10,000. No node is asked for more once it has contributed `limit` values
// that are wanted, or as many as a node may keep (seats.h), and values that more nodes hold come first: so owners that
// one liar made up displace none that honest nodes agree on. A node that sends what no honest node sends is out, and
// out of the table (values that are only out of date, or ahead of it, just do not count: the clock that is wrong may be
// ours). Every node is asked to begin behind the same random point and goes round from there, so that no owner's id
// gets its value read more often than others', and pages of different nodes overlap.
//
// Not defended: owners made up and stored at honest nodes, which is what seats.h bounds.
//
// Bounded by kCollectTimeout, kMaxPages a node, and `limit`. Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_COLLECT_H_
#define DOTAGENT_COMMON_DHT_COLLECT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/time/time.h"
#include "common/dht/peers.h"
#include "common/dht/types.h"
#include "common/dht/value_store.h"

namespace dotagent::dht {

// How many of the nodes nearest to the key are asked.
inline constexpr size_t kCollectFrom = 10;
inline constexpr size_t kMaxCollected = 1000;
inline constexpr absl::Duration kCollectTimeout = absl::Seconds(20);  // of the reading, once the nodes are found
inline constexpr size_t kMaxPages = 64;

struct CollectQuery {
  Id key;
  ValueKind kind = ValueKind::kCapabilityAdvert;  // one of which a key has many owners' values
  size_t limit = 100;                             // 1 to kMaxCollected
  // Which valid values count; none: all. Those withdrawn never do.
  std::function<bool(const Value&)> wanted;
};

struct Collected {
  struct Entry {
    Value value;
    uint32_t agreeing_nodes = 0;  // that returned this very value
  };
  std::vector<Entry> values;  // those that most nodes returned first; of equals, in an order that no owner chooses
  // As far as the nodes asked are honest, there are no others: the r nearest of them have all been read to the end,
  // none of them was full, nothing was cut off by `limit`, and they are dense enough to be the nearest (verdict.h).
  bool complete = false;
  bool nearest_found = false;  // of that, the last
  bool future_dated = false;   // there were values, but dated ahead of this node's clock
  uint32_t nodes = 0;          // that gave what they have, this one included
  uint32_t hops = 0;           // of the lookup
  uint32_t messages = 0;       // calls, the lookup's included
};

// Finds the nodes nearest to the key, then reads. This node's own values count as any node's. `peers` must outlive it,
// or it ends unheard; `values` as `peers`.
void Collect(Peers* peers, const ValueStore* values, CollectQuery query, std::function<void(Collected)> done);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_COLLECT_H_
