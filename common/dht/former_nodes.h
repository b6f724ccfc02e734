// Nodes that were in the table and stopped answering, the longest-lived: when a network that was cut in two is whole
// again, the way to the other half. (Most of them are gone for good; that is not known, so they are tried now and
// then.)
//
// Bounded: kMaxFormerNodes, each for kRememberedFor. To fill the list with nodes of his own, an attacker must first
// have them in the table for long, under its caps.
//
// A plain data structure; `now` is Clock::Elapsed. Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_FORMER_NODES_H_
#define DOTAGENT_COMMON_DHT_FORMER_NODES_H_

#include <cstddef>
#include <vector>

#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/dht/types.h"

namespace dotagent::dht {

inline constexpr size_t kMaxFormerNodes = 32;
inline constexpr absl::Duration kRememberedFor = absl::Hours(7 * 24);

class FormerNodes {
 public:
  // `contact`, which was in the table for `lived`, has been dropped. If the list is full, the node that lived for the
  // shortest time is left out.
  void Add(const Contact& contact, absl::Duration lived, absl::Duration now);
  // It is back.
  void Remove(const Id& id);

  // Up to `count` of them, at random.
  [[nodiscard]] std::vector<Contact> Some(size_t count, Random& random) const;
  // All, the longest-lived first.
  [[nodiscard]] std::vector<Contact> All() const;

 private:
  struct Node {
    Contact contact;
    absl::Duration lived;
    absl::Duration dropped;
  };

  std::vector<Node> nodes_;  // the longest-lived first
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_FORMER_NODES_H_
