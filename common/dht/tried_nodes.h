// Which strangers were pinged of late, so that no one makes us ping a node over and over by calling in its name.
//
// Compact, since every node has one and a busy minute fills it: 16 bytes a stranger. Of an id its first 64 bits count:
// for two nodes to share those takes 2^64 tries, and would only keep one of them from being pinged for a minute.
//
// A plain data structure: no I/O, no clock (`now` is Clock::Elapsed). Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_TRIED_NODES_H_
#define DOTAGENT_COMMON_DHT_TRIED_NODES_H_

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/time/time.h"
#include "common/dht/types.h"

namespace dotagent::dht {

class TriedNodes {
 public:
  // Remembers at most `most` nodes, each for at least `retry_after` unless newer ones displace it.
  TriedNodes(size_t most, absl::Duration retry_after) : most_(most), retry_after_(retry_after) {}

  // True if the node was not tried of late; it counts as tried now. O(nodes remembered), over plain numbers.
  [[nodiscard]] bool Insert(const Id& node, absl::Duration now);

  [[nodiscard]] size_t size() const { return tried_.size(); }

 private:
  struct Tried {
    uint64_t head;  // of the node's id
    int64_t at_ms;
  };

  const size_t most_;
  const absl::Duration retry_after_;
  std::deque<Tried> tried_;  // the oldest first
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_TRIED_NODES_H_
