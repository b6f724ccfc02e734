// "I know the same nodes as you", in 32 bytes, so that an answer need not list them.
//
// In a small network nearly all of a lookup's bytes, and most of its work, would be contacts that the caller has
// already. So a caller whose table is no larger than an answer states the digest of all the nodes that he knows,
// himself included; a node that knows the very same ones says so instead of listing them. What it would have listed is
// then what the caller knows without the two of them, and the caller takes it as if it had been listed: a lookup, its
// paths and its verdict are what they would be. An attacker gains nothing: who says that he knows the same nodes could
// have listed them, and an honest node that knows one node more lists all of them.
//
// Of the contacts only the ids are compared. A caller who has another address of a node keeps it, as he would anyway.
//
// Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_CENSUS_H_
#define DOTAGENT_COMMON_DHT_CENSUS_H_

#include <cstdint>
#include <optional>

#include "common/dht/routing_table.h"
#include "common/dht/types.h"

namespace dotagent::dht {

class Census {
 public:
  // `table` must outlive it. `self`: this node's id, if it is a server and so in others' tables.
  Census(const RoutingTable* table, std::optional<Id> self) : table_(table), self_(self) {}

  // SHA-256 of the ids, in ascending order, of this node and those of its table that answer; none if an answer could
  // not list them all. Reckoned when the table has changed.
  [[nodiscard]] const std::optional<Id>& Digest();

 private:
  const RoutingTable* const table_;
  const std::optional<Id> self_;
  std::optional<uint64_t> version_;  // of the table when it was reckoned
  std::optional<Id> digest_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_CENSUS_H_
