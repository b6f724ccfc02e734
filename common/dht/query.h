// One lookup carried out: drives a Lookup over the network, checks what comes back, and says what it found.
//
// Bounded by kMaxLookupCalls calls and kQueryTimeout. Values are validated before they count; a node that returns one
// that is not valid under the key, or not of its kind, is out of the lookup and of the table. One that is only out of
// date, or ahead of it, just does not count: a record may run out on its way, and the clock that is wrong may be ours.
#ifndef DOTAGENT_COMMON_DHT_QUERY_H_
#define DOTAGENT_COMMON_DHT_QUERY_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "common/dht/peers.h"
#include "common/dht/types.h"
#include "common/dht/value_store.h"
#include "common/dht/verdict.h"

namespace dotagent::dht {

// A lookup that takes longer ends with what it has.
inline constexpr absl::Duration kQueryTimeout = absl::Seconds(20);
// A node that has not answered for this long no longer holds up the others.
inline constexpr absl::Duration kPatience = absl::Milliseconds(500);

struct QueryResult {
  std::vector<Contact> nearest;  // nodes that answered, nearest first; as many as were wanted, or fewer
  uint32_t asked = 0;
  uint32_t answered = 0;
  uint32_t hops = 0;
  uint32_t agreeing_paths = 0;  // that know of the nearest node
  // Of FindValue. Undecided: it ended by a limit.
  Ballot::Outcome outcome = Ballot::Outcome::kUndecided;
  std::optional<Id> owner;                 // if decided
  std::optional<Ballot::Answer> value;     // the owner's best, of what was found and what this node holds
  std::vector<Ballot::Witness> witnesses;  // receipts, the nearest node's first
  bool revoked = false;                    // there were values, but the key that signed them is revoked
  bool future_dated = false;               // there were values, but dated ahead of this node's clock
};

struct Effort {
  size_t paths = 8;
  size_t wanted = kBucketSize;
  size_t waves = 1;            // each over paths of its own, through nodes that the one before only heard of
  bool from_anywhere = false;  // the paths begin not at the nodes nearest to the target that are known, but at any
};
// To find one's own place. Who is led astray there, by liars among the few nodes that a newcomer knows, sees nothing
// but liars ever after, and takes the network for as small as they are few; so he tries more than once: with m = 0.2, a
// path of three hops is clean with 0.8^4 = 0.41, and none of 8 is for 1 newcomer in 68, and none of 16 for 1 in 5,000.
inline constexpr Effort kToJoin{.paths = 8, .wanted = kBucketSize, .waves = 2};
// The same once more, when the table has nodes from everywhere.
inline constexpr Effort kToLookAround{.paths = 8, .wanted = kBucketSize, .from_anywhere = true};

// Finds the nodes nearest to `target`. `peers` must outlive the query, or it ends unheard.
void FindNodes(Peers* peers, const Id& target, std::function<void(QueryResult)> done, const Effort& effort = {});

enum class Thoroughness {
  kEnough,  // ends as soon as the ballot is decided
  kAll,     // asks all witnesses
};

// Finds whose `key` is, and the owner's best value. This node's own vote counts; `values` as `peers`.
void FindValue(Peers* peers, const ValueStore* values, const Id& key, ValueKind kind, Thoroughness thoroughness,
               std::function<void(QueryResult)> done);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_QUERY_H_
