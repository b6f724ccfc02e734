// What a reader believes of what the nodes nearest to a key say: whose key it is, and which value is its owner's
// newest.
//
// The attackers: a part m of all nodes (20 % is what we build for) that say together whatever suits them: that the name
// is theirs, that it does not exist, that an older value is the newest. Every value here has been validated, so what
// they cannot do is sign for the owner. Each node has one vote, proved by its session; the voters are the nodes nearest
// to the key, a set that no one chooses as long as ids cost something (puzzle.h).
//
// The rule, over the nodes nearest to the key that answered, in order of distance:
//
//   Witnesses. Of n = 28 nodes, an owner needs 18 of those that know of any owner (the same share of fewer). With m =
//   0.2, binomial: 18 or more are hostile, and a name can be stolen, for 4.2 names in 10 million; 11 or more are, and
//   an honest name looks contested, for 1.5 names in 100. (13 of 20 would be 1.5 in 100,000 and 3.2 in 100.) If two
//   owners are named and neither reaches that, the answer is CONFLICT. An owner whom no one disputes needs no number.
//
//   Early end. If the nearest 14 of those that know of an owner name the same, and none of the nodes up to there
//   another, the rest need not be asked: all 14 are hostile for 1 name in 6 billion. Likewise the nearest 14 that all
//   know of none are a definite "not found".
//
//   Small networks, of no more than 28 nodes besides the reader: he knows them all, and all are witnesses of each key.
//   There an early end takes more nodes than are hostile if twice the share that we build for is: ⌊0.4·N⌋ + 1 of N, and
//   8 at least; 8 of 19, 12 of 28. So up to 40 % hostile no early end can be theirs, whichever key it is. (Were each
//   node hostile with 0.2 by itself, 8 would all be for 2.6 names in a million, 12 for 4 in a billion.) Once a node
//   answers that the reader did not know, he does not know them all, and 14 have to agree here, too.
//
//   A reader who is a witness. In a small network a reader that is a node knows himself whose the key is, and once he
//   has asked the other witnesses (claim_check.h) that is settled. Nodes that say the same then only have to show that
//   he has missed nothing since. That takes more than are hostile at the share that we build for, ⌊0.2·N⌋ + 1, and as
//   many as keep the value at least: 5 of 19, 6 of 28; and the value has to be the very one that he has
//   witnessed as the newest. To name him another owner, all of those would have to be hostile and his own settled claim
//   be wrong; to keep a newer value from him, they would have to be and the owner not have reached him. Up to 20 %
//   hostile they cannot all be; if 40 % are, they are for 1.8 names in 1,000, of those that he is wrong about. Any
//   doubt (another owner, another value) and he is a reader as any other, except that nothing ends early against his
//   word.
//
//   Density. N nodes with random ids leave n of them within the distance n·2^256/N of a key, or near that (Poisson). A
//   set that is much sparser is not the nearest one: the lookup was kept among the hostile nodes, which are 1/m times
//   as sparse. That happens to about 1 lookup over 8 paths in 70. Up to an early end 1.3·n is allowed, else 1.6·n,
//   beyond which the lookup is widened: of honest sets 1 in 8 needs the longer way, and 1 in 340 the widening; of sets
//   all hostile 3 in 100,000 pass the first and 3 in 10 million the second (5 in 10,000 and in 100,000 where N is
//   underrated by a quarter). A set that is much denser holds ids made to sit there; an early end wants the nodes to
//   reach out to where 6 are expected, so that mined ids alone are not enough (for 1 name in 400 no honest node is that
//   near). Where no one else was heard of, or 32 paths brought no nearer node than 8 did, 3·n is allowed: half of the
//   network may just have been cut off, or its size be overrated; but no more, since liars tell of no one else either.
//   In a network of no more than 28 nodes all are known, and density asks nothing.
//
// Where it departs from S/Kademlia: that paper takes a lookup as good if one of d paths is clean, which a reader cannot
// see; density can be seen.
//
// Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_VERDICT_H_
#define DOTAGENT_COMMON_DHT_VERDICT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "common/dht/types.h"
#include "common/dht/value_type.h"

namespace dotagent::dht {

inline constexpr size_t kWitnesses = 28;
// For an early end, in a large network and, at least, in one that is no larger than a key's witnesses.
inline constexpr size_t kUnanimous = 14;
inline constexpr size_t kFewestUnanimous = 8;
// Of so many nodes that know of an owner, how many must name the same one if others name another.
[[nodiscard]] constexpr size_t Threshold(size_t informed) { return (informed * 18 + kWitnesses - 1) / kWitnesses; }

// How many nodes of the whole network are expected within a distance.
using Density = std::function<double(const Id& distance)>;
// Whether a set of `count` nodes that reaches out to where `expected` nodes should be is too sparse to be the nearest.
[[nodiscard]] constexpr bool TooSparse(size_t count, double expected) {
  return expected > 1.6 * static_cast<double>(count);
}
// Of a network that is no larger than a key's witnesses, all nodes are known: there is nothing to be kept from.
[[nodiscard]] bool IsSmall(const Density& density);
// How many nodes decide early in this network.
[[nodiscard]] size_t EnoughUnanimous(const Density& density);
// How many of a small network confirm to a witness what he has settled.
[[nodiscard]] size_t EnoughForWitness(const Density& density);

// What one node says.
struct Vote {
  std::optional<Receipt> receipt;  // whose key it is; none: it knows of no owner
  std::optional<Value> value;      // validated; its owner is the receipt's, where there is one
};

class Ballot {
 public:
  // `type` must outlive it.
  Ballot(const Id& key, const ValueType& type) : key_(key), type_(type) {}

  // A node votes once.
  void Add(const Id& node, Vote vote) { votes_.emplace(key_.DistanceTo(node), std::move(vote)); }
  // The reader's own vote. `settled`: he has a claim on the key, and has asked the other witnesses about it.
  void AddOwn(const Id& self, Vote vote, bool settled);
  // A node answered that the reader, in a network that he took for small, did not know.
  void MetStranger() { met_stranger_ = true; }
  // How many decide early.
  [[nodiscard]] size_t Enough(const Density& density) const {
    return met_stranger_ ? kUnanimous : EnoughUnanimous(density);
  }
  // A validated value that some node returned before with the same bytes, or nullptr: spares checking it again.
  [[nodiscard]] const Value* Find(const Item& item) const;

  enum class Outcome {
    kUndecided,        // ask more
    kDecided,          // there is an owner, or, of a kind without owners, a value
    kAbsent,           // no one knows of any
    kConflict,         // more than one owner, and none with enough votes
    kTooFewWitnesses,  // the nodes asked are not the nearest
  };
  struct Judgement {
    Outcome outcome = Outcome::kUndecided;
    std::optional<Id> owner;  // if decided
  };
  // `nearest`: ids of nodes that voted, nearest first, without a gap: every node heard of that is nearer than the last
  // of them has voted or failed. `all`: there is no one else to ask, or no way to ask more. O(nodes).
  [[nodiscard]] Judgement Judge(const std::vector<Id>& nearest, bool all, const Density& density) const;

  // Two nodes name different owners, so an early end is out of reach.
  [[nodiscard]] bool disputed() const;

  struct Answer {
    Value value;
    uint32_t agreeing = 0;  // nodes that hold or have witnessed this very value
  };
  // The owner's best value; none if no node returned one. Of a kind whose keys have no owners, the best of all.
  [[nodiscard]] std::optional<Answer> BestOf(const Id& owner) const;

  struct Witness {
    Id node;
    Receipt receipt;
  };
  // The receipts of the nodes that voted, the nearest node first.
  [[nodiscard]] std::vector<Witness> Receipts() const;

 private:
  // The owner that a vote names; for kinds whose keys have no owners, that of the value.
  [[nodiscard]] static std::optional<Id> OwnerIn(const Vote& vote);
  // Of a kind whose keys have no owners: values speak for themselves.
  [[nodiscard]] Judgement JudgeValues(const std::vector<Id>& nearest, bool all, const Density& density) const;
  [[nodiscard]] const Value* BestAmong(const std::optional<Id>& owner) const;
  [[nodiscard]] Judgement JudgeEarly(const std::vector<Id>& nearest, const Density& density) const;
  [[nodiscard]] Judgement JudgeAsWitness(const std::vector<Id>& nearest, const Density& density) const;
  // Whether they are dense enough to be the nearest there are.
  [[nodiscard]] bool AreNearest(const std::vector<Id>& nearest, bool all, const Density& density) const;
  // Of the first kWitnesses of `nearest`.
  [[nodiscard]] Judgement Count(const std::vector<Id>& nearest) const;
  [[nodiscard]] bool HasValueOf(const Id& owner) const;

  const Id key_;
  const ValueType& type_;
  std::map<Id, Vote> votes_;  // by the node's distance to the key
  bool met_stranger_ = false;
  std::optional<Id> self_;  // the reader's distance, if he votes himself
  bool settled_ = false;    // what he says
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_VERDICT_H_
