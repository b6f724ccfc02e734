// How many nodes the network has, from how densely they lie.
//
// Ids are hashes, so the distances from any point to all N nodes are N uniform draws from [0, 2^256), and the k-th
// smallest, d, tells N: N·d/2^256 has a Gamma(k) distribution, whose median is within 0.02 of k - 1/3. One sample's
// N = (k - 1/3)·2^256/d is thus as often too high as too low, with a deviation of 1/√k: 22 % at k = 20. The estimate is
// the median of the last 16 samples, which deviates by 1.25/√16 of that: 7 %.
//
// Defends the readers of values: who knows how dense the network is sees that the nodes found near a key are too far
// from it (the lookup was captured) or a run of ids too near to it (they were mined). Hence what an attacker can do to
// the estimate itself matters. He can place ids around a point, which raises that point's sample, or hide honest nodes
// from a lookup, which lowers it, both as far as he likes. But a sample has one vote: with b of 16 samples his, the
// estimate stays between the honest samples' (8-b)th and (9+b)th of 16, so inside ±15 % for b = 4, and within the range
// of honest samples (±45 %) up to b = 7. So give it only points that no stranger chooses: this node's own neighbourhood
// and random targets (bucket refreshes), not the keys of values that others stored here. Nodes that are there but never
// answer do not count; with 20 % of those the estimate is of the 80 % that do, which is what a lookup can find.
//
// A network that grows leaves samples behind that are too low, and with them a node believes what a captured lookup
// brings. Its own neighbourhood shows the growth first: where it is twice as dense as the samples say, or half as
// dense, they are in doubt, and the caller should look up some random targets soon. (It is not believed itself: to mine
// ids next to one node is cheap, and would make that node refuse every lookup as captured.)
//
//   SizeEstimate size;
//   size.AddLookup(target, nodes_that_answered);
//   if (size.ExpectedNodesWithin(key.DistanceTo(tenth)) > 14) …  // captured
//
// A plain data structure of 200 bytes. Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_SIZE_ESTIMATE_H_
#define DOTAGENT_COMMON_DHT_SIZE_ESTIMATE_H_

#include <array>
#include <cstddef>
#include <vector>

#include "common/dht/types.h"

namespace dotagent::dht {

class SizeEstimate {
 public:
  // Samples that are kept, apart from that of the own neighbourhood; a new one replaces the oldest.
  static constexpr size_t kMaxSamples = 15;

  // A complete lookup for `target`, a point that no stranger chose, found these nodes to be the nearest; in any order.
  // Counts only if they are k or more: fewer are a network that the table holds entirely. O(nodes).
  void AddLookup(const Id& target, const std::vector<Contact>& nearest);

  // The nodes nearest to `self`, this node, as its table has them, and how many nodes it has in all. Replaces what was
  // said before; call it whenever nodes() is wanted fresh. Fewer than k nodes are all there are: then nodes() is
  // exactly `known`, whatever lookups said; and it is never below `known`.
  void SetNeighbourhood(const Id& self, const std::vector<Contact>& nearest, size_t known);

  // The neighbourhood and the lookups differ by more than chance, or there was no lookup. One that agrees with the
  // neighbourhood is enough: together they deviate by 16 %, and who mined ids next to this node makes them disagree.
  [[nodiscard]] bool InDoubt() const;
  // What lookups said so far is forgotten once the next one says something.
  void Renew() { renewing_ = true; }

  // Nodes of the network, this one not counted. 0 as long as none is known.
  [[nodiscard]] double nodes() const { return nodes_; }

  // How many nodes lie within `distance` of a point, on average: nodes()·distance/2^256.
  [[nodiscard]] double ExpectedNodesWithin(const Id& distance) const;

 private:
  void Reckon();
  // Of the samples of lookups, and of the neighbourhood if it is to count too; 0 if there is none.
  [[nodiscard]] double Median(bool with_neighbourhood) const;

  std::array<double, kMaxSamples> lookups_{};  // a ring of N as each says
  size_t lookups_size_ = 0;
  size_t next_ = 0;
  double neighbourhood_ = 0;  // 0: no sample
  size_t known_ = 0;
  bool known_is_all_ = false;
  bool renewing_ = false;
  double nodes_ = 0;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_SIZE_ESTIMATE_H_
