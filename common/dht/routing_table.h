// Who this node knows: 256 buckets of up to k nodes, by the length of the prefix that their ids share with ours, and
// the nodes nearest to us beyond that (the sibling list).
//
// Defends against tables filled by strangers: only nodes that answered us enter (the caller sees to that, and to their
// puzzles), a node that answers is never pushed out by a newer one (Kademlia §2.2: the longer a node has been up, the
// likelier it stays), few nodes of one network are let in (ip_group.h), and everything is bounded: a bucket has k
// nodes, its share of the siblings and kMaxSpares spares.
//
// The sibling list (S/Kademlia §4.2) is there because a node that answers for a key must know the others that do. If a
// node is one of the s nearest to a key, all s share with it the prefix of the subtree that they span; that subtree
// holds those s and, of the rest of it, a Poisson number of nodes between 0 and s on average, as the key happens to
// lie: 1.44·s in all. With 64 siblings a node knows every other one of the s = 28 witnesses of 99 % of the keys that it
// witnesses, and of the k = 20 nearest nodes of all but 1 in 20,000. Buckets alone, each cut off at k, cannot say that.
//
// Departures from the paper: buckets are fixed by prefix instead of split as they fill (the same sets, less code); the
// deepest buckets are refreshed together, by a lookup of our own id, and not each by one of a random id, which asks the
// same few nodes each time (a quarter of the lookups that a newcomer to 10,000 nodes made); a
// node is dropped after three failed calls in a row even where there is no spare to take its place; and of the spares
// that could take a free place the nearest by round-trip time does, not the newest. The last is an edge for attackers
// who are near, so it decides only among spares: who is in the table stays.
//
// Compact, since a simulation holds 100,000 tables: about 55 KB of heap a table at 100,000 nodes.
//
// A plain data structure: no I/O, no clock (`now` is Clock::Elapsed). Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_ROUTING_TABLE_H_
#define DOTAGENT_COMMON_DHT_ROUTING_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/dht/ip_group.h"
#include "common/dht/types.h"

namespace dotagent::dht {

// Failed calls in a row after which a node is dropped.
inline constexpr int kMaxFailures = 3;
// The oldest node of a full bucket is not pinged within this time of its last answer, nor of another's turn.
inline constexpr absl::Duration kTrustedFor = absl::Minutes(1);
// Nodes that answered but found their bucket full or their network well represented, a bucket.
inline constexpr size_t kMaxSpares = 5;

struct RoutingTableOptions {
  // Nodes of one IP group; 0: any number. The defaults are those of go-libp2p-kad-dht (dual/dual.go:
  // maxPrefixCountPerCpl, maxPrefixCount).
  size_t max_per_group_in_bucket = 2;
  size_t max_per_group_in_table = 3;
  PrivateAddresses private_addresses = PrivateAddresses::kExempt;
  // The nodes nearest to us that are kept though their buckets are full.
  size_t siblings = 64;
};

class RoutingTable {
 public:
  explicit RoutingTable(const Id& self, RoutingTableOptions options = {}) : self_(self), options_(options) {}

  // `contact` answered a call, after `round_trip` if that is known. Enters it, or takes note that it is there and
  // clears its failures. If there is no place for it, it becomes a spare; and if that is because its bucket is full,
  // the bucket's least recently seen node is returned once it is due for a ping: report the outcome with Seen or Evict.
  // Of its addresses, those over kMaxAddressSize and more than kMaxContactAddresses are left out; without any it is
  // ignored.
  [[nodiscard]] std::optional<Contact> Seen(const Contact& contact, absl::Duration now,
                                            absl::Duration round_trip = absl::InfiniteDuration());

  // A call to the node failed. True if the node is now doubtful, or gone.
  bool Failed(const Id& id);

  // Takes the node out; a spare takes its place.
  void Evict(const Id& id);

  // A node of the table as it is known.
  [[nodiscard]] std::optional<Contact> Find(const Id& id) const;
  [[nodiscard]] bool Contains(const Id& id) const { return FindNode(id) != nullptr; }
  // The node is in the table with these very addresses.
  [[nodiscard]] bool Knows(const Contact& contact) const;
  // The node is in the table and its last call failed.
  [[nodiscard]] bool Doubtful(const Id& id) const;
  // Smoothed over its answers as TCP does (RFC 6298); infinite if the node is not in the table or none was timed.
  [[nodiscard]] absl::Duration RoundTrip(const Id& id) const;
  // Since it answered for the first time with these addresses; zero if it is not in the table.
  [[nodiscard]] absl::Duration Age(const Id& id, absl::Duration now) const;
  // There is room for a node of this id, in its bucket or among the spares.
  [[nodiscard]] bool HasRoomFor(const Id& id) const;

  enum class Which {
    kAll,        // for own lookups
    kAnswering,  // to pass on: without those whose last call failed
  };
  // The nodes nearest to `target`, nearest first. Visits only the buckets that they are in: 2 µs for 20.
  [[nodiscard]] std::vector<Contact> Nearest(const Id& target, size_t count, Which which) const;
  // The nodes nearest to this one, nearest first. Complete, as far as nodes have been seen, up to options.siblings.
  [[nodiscard]] std::vector<Contact> Siblings(size_t count) const { return Nearest(self_, count, Which::kAll); }

  // So many nodes of the table, at random.
  [[nodiscard]] std::vector<Contact> Sample(size_t count, Random& random) const;

  // Every node, for saving.
  [[nodiscard]] std::vector<Contact> All() const;
  [[nodiscard]] size_t size() const { return size_; }
  // Another whenever other nodes are in the table, or answer.
  [[nodiscard]] uint64_t version() const { return version_; }
  // Heap bytes, as glibc's malloc rounds them. O(table).
  [[nodiscard]] size_t MemoryBytes() const;

  // A lookup for `target` is under way, which refreshes the bucket that it falls in; one for our own id refreshes the
  // neighbourhood.
  void LookedUp(const Id& target, absl::Duration now);
  // Buckets that no lookup fell in for `interval`, in order. Those that hold no more than k nodes together, the
  // deepest, count as one, the neighbourhood, by the index of the first of them: a lookup for our own id asks all of
  // these.
  [[nodiscard]] std::vector<size_t> StaleBuckets(absl::Duration interval, absl::Duration now) const;
  // What to look up to refresh what StaleBuckets calls `index`: a random id that falls in the bucket, or our own.
  [[nodiscard]] Id RefreshTarget(size_t index, Random& random) const;
  // A random id that falls in bucket `index`.
  [[nodiscard]] Id RandomIdIn(size_t index, Random& random) const;
  // Bucket `index` has k nodes, and each answered its last call.
  [[nodiscard]] bool IsFull(size_t index) const;

 private:
  struct Node {
    [[nodiscard]] Contact ToContact() const { return {id, key, addresses, puzzle_solution}; }

    Id id;
    crypto::PublicKey key;
    AddressList addresses;
    uint64_t puzzle_solution;
    uint64_t seen_ms : 38;        // Clock::Elapsed: for 8 years
    uint64_t round_trip_us : 24;  // up to 16 s; 0: none was timed, or longer
    uint64_t failures : 2;
    uint64_t entered_s : 30;  // Clock::Elapsed
    uint64_t groups : 2;      // in how many its addresses are; 2: or more
    uint64_t group : 32;      // if they are in one
  };
  static_assert(kMaxFailures <= 4);
  struct Bucket {
    std::vector<Node> nodes;
    std::vector<uint64_t> heads;  // of the nodes' ids, side by side: every search goes through them
    size_t doubtful = 0;          // of the nodes: whose last call failed
    std::vector<Node> spares;
    absl::Duration looked_up = -absl::InfiniteDuration();
    absl::Duration asked_for_ping = -absl::InfiniteDuration();
  };

  [[nodiscard]] IpGroups GroupsOf(const Node& node) const;
  [[nodiscard]] bool IsIn(const Node& node, IpGroup group) const;
  [[nodiscard]] size_t IndexOf(const Id& id) const;
  // The bucket that `id` falls in, or nullptr if no node ever did.
  [[nodiscard]] Bucket* BucketOf(const Id& id);
  [[nodiscard]] const Node* FindNode(const Id& id) const;
  // The first of the deepest buckets that hold no more than k nodes together.
  [[nodiscard]] size_t Neighbourhood() const;
  // Where it is in the bucket, or bucket.nodes.size().
  [[nodiscard]] static size_t PositionIn(const Bucket& bucket, const Id& id);

  // A node of this id in bucket `index` would be, or is, one of the siblings.
  [[nodiscard]] bool IsSibling(size_t index, const Id& id) const;
  [[nodiscard]] bool HasPlace(size_t index, const Id& id) const;
  // The caps on IP groups let another node of these groups into the bucket.
  [[nodiscard]] bool CapsAdmit(const Bucket& bucket, const IpGroups& groups) const;

  // Whether the node at `position` of the bucket is nearer to `target` than `distance`.
  [[nodiscard]] static bool IsNearer(const Bucket& bucket, size_t position, const Id& target, const Id& distance);
  // Puts the node into its bucket.
  void Enter(size_t index, Node node);
  // Takes out the node at `position` of the bucket and returns it.
  Node Remove(Bucket& bucket, size_t position);
  void AddSpare(Bucket& bucket, Node node);
  // Fills the bucket's free places from its spares.
  void Promote(size_t index);
  // Nodes beyond k of buckets up to `index` that nearer ones pushed off the sibling list become spares.
  void TrimSiblings(size_t index);

  const Id self_;
  const RoutingTableOptions options_;
  std::vector<Bucket> buckets_;  // down to the deepest that was ever used; at most 256
  absl::Duration looked_up_ourselves_ = -absl::InfiniteDuration();
  absl::flat_hash_map<IpGroup, uint32_t> groups_;  // of how many nodes
  size_t size_ = 0;
  uint64_t version_ = 0;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_ROUTING_TABLE_H_
