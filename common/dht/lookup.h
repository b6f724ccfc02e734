// Which node to ask next: the iterative lookup of Kademlia (§2.3), as a state machine. It sends nothing and waits for
// nothing; query.h drives it.
//
// Defends against answers that cost without end: of each answer at most k contacts count, their ids are computed from
// their keys, ourselves and nodes already known are ignored, and one lookup asks at most kMaxLookupCalls nodes whatever
// they invent. It believes no one about who is nearest: a node counts as found only once it has answered itself.
// (Against nodes that collude to keep a lookup among themselves: nothing here. Disjoint paths are S/Kademlia's answer.)
//
// It ends when the k nearest of all nodes that it heard of, leaving out those that failed, have answered.
//
// Departure from the paper: a node silent for a while no longer counts against α, so that dead nodes slow a lookup
// little.
//
//   Lookup lookup(self, target, seeds);
//   for (const Contact& node : lookup.Next()) …ask it…, then lookup.Answered(id, nodes) or lookup.Failed(id)
//   if (lookup.done()) use(lookup.Nearest(5));
#ifndef DOTAGENT_COMMON_DHT_LOOKUP_H_
#define DOTAGENT_COMMON_DHT_LOOKUP_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "common/dht/types.h"

namespace dotagent::dht {

inline constexpr size_t kMaxLookupCalls = 120;

class Lookup {
 public:
  // `seeds`: the nodes nearest to `target` that the caller's table has.
  Lookup(const Id& self, const Id& target, const std::vector<Contact>& seeds);

  // The nodes to ask now; they count as asked. Empty while α are awaited, and once done.
  [[nodiscard]] std::vector<Contact> Next();

  // What came of asking `from`. Ignored if it was not asked, or its outcome is known.
  void Answered(const Id& from, const std::vector<Contact>& nodes);
  void Failed(const Id& from);
  // It has not answered for some time; it still may.
  void Silent(const Id& from);

  // The `count` nearest nodes, leaving out those that failed, have answered; or there is no one left to ask.
  [[nodiscard]] bool NearestAnswered(size_t count) const;
  [[nodiscard]] bool done() const { return NearestAnswered(kBucketSize); }
  // It was stopped by kMaxLookupCalls: nearer nodes may be left unasked.
  [[nodiscard]] bool exhausted() const { return asked_ >= kMaxLookupCalls; }

  // The nodes that answered, nearest first.
  [[nodiscard]] std::vector<Contact> Nearest(size_t count) const;
  [[nodiscard]] uint32_t asked() const { return asked_; }
  [[nodiscard]] uint32_t answered() const { return answered_; }
  // Length of the longest chain of answers, each naming the next node.
  [[nodiscard]] uint32_t hops() const { return hops_; }

 private:
  enum class State { kHeardOf, kAsked, kSilent, kAnswered, kFailed };
  struct Candidate {
    Contact contact;
    uint32_t hop;
    State state = State::kHeardOf;
  };

  void Add(const Contact& contact, uint32_t hop);
  // The candidate, if it was asked and its outcome is open.
  [[nodiscard]] Candidate* Open(const Id& id);

  const Id self_;
  const Id target_;
  std::map<Id, Candidate> candidates_;  // by distance to the target; bounded
  size_t awaited_ = 0;                  // asked and not silent
  uint32_t asked_ = 0;
  uint32_t answered_ = 0;
  uint32_t hops_ = 0;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_LOOKUP_H_
