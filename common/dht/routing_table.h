// Who this node knows: 256 buckets of up to k nodes, by the length of the prefix that their ids share with ours.
//
// Defends against tables filled by strangers: only nodes that answered us enter (the caller sees to that), a node that
// answers is never pushed out by a newer one (Kademlia §2.2: the longer a node has been up, the likelier it stays), and
// everything is bounded: k nodes and k spares a bucket.
//
// Departures from the paper: buckets are fixed by prefix instead of split as they fill (the same sets, less code), and
// a node is dropped after three failed calls in a row even where there is no spare to take its place.
//
// A plain data structure: no I/O, no clock (`now` is Clock::Elapsed). Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_ROUTING_TABLE_H_
#define DOTAGENT_COMMON_DHT_ROUTING_TABLE_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/dht/types.h"

namespace dotagent::dht {

// Failed calls in a row after which a node is dropped.
inline constexpr int kMaxFailures = 3;
// The oldest node of a full bucket is not pinged again within this time of its last answer.
inline constexpr absl::Duration kTrustedFor = absl::Minutes(1);

class RoutingTable {
 public:
  explicit RoutingTable(const Id& self) : self_(self) {}

  // `contact` answered a call. Enters it, or moves it to the fresh end of its bucket and clears its failures. If the
  // bucket is full it becomes a spare, and the bucket's oldest node is returned if it is due for a ping: report the
  // outcome with Seen or Evict.
  [[nodiscard]] std::optional<Contact> Seen(const Contact& contact, absl::Duration now);

  // A call to the node failed. True if the node is now doubtful, or gone.
  bool Failed(const Id& id);

  // Takes the node out; a spare takes its place.
  void Evict(const Id& id);

  // A node of the table as it is known, or nullptr. Valid until the next change.
  [[nodiscard]] const Contact* Find(const Id& id) const;
  // The node is in the table and its last call failed.
  [[nodiscard]] bool Doubtful(const Id& id) const;
  // There is room for a node of this id, in its bucket or among the spares.
  [[nodiscard]] bool HasRoomFor(const Id& id) const;

  enum class Which {
    kAll,        // for own lookups
    kAnswering,  // to pass on: without those whose last call failed
  };
  // The nodes nearest to `target`, nearest first. O(table).
  [[nodiscard]] std::vector<Contact> Nearest(const Id& target, size_t count, Which which) const;

  // Every node, for saving.
  [[nodiscard]] std::vector<Contact> All() const;
  [[nodiscard]] size_t size() const { return size_; }

  // A lookup for `target` is under way, which refreshes the bucket that it falls in.
  void LookedUp(const Id& target, absl::Duration now);
  // Buckets, down to the deepest in use, that no lookup fell in for `interval`.
  [[nodiscard]] std::vector<size_t> StaleBuckets(absl::Duration interval, absl::Duration now) const;
  // A random id that falls in bucket `index`.
  [[nodiscard]] Id RandomIdIn(size_t index, Random& random) const;

 private:
  struct Node {
    Contact contact;
    absl::Duration seen;
    int failures = 0;
  };
  struct Bucket {
    std::vector<Node> nodes;   // the least recently seen first
    std::vector<Node> spares;  // answered once, but found the bucket full; the newest last
    absl::Duration looked_up = -absl::InfiniteDuration();
  };

  [[nodiscard]] size_t IndexOf(const Id& id) const;
  // The bucket that `id` falls in, or nullptr if no node ever did.
  [[nodiscard]] Bucket* BucketOf(const Id& id);
  [[nodiscard]] const Node* FindNode(const Id& id) const;

  const Id self_;
  std::vector<Bucket> buckets_;  // down to the deepest that was ever used; at most 256
  size_t size_ = 0;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_ROUTING_TABLE_H_
