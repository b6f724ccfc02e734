// Which node to ask next: S/Kademlia's lookup over d disjoint paths (Baumgart and Mies, 2007, §4.4), as a state
// machine. It sends nothing and waits for nothing; query.h drives it.
//
// The attackers: nodes that answer with one another only, so that a lookup that once believed one of them never leaves
// them, and nodes that answer nothing. So the nodes that we know are dealt out to d paths; each path asks the nearest
// of what it was dealt and what its own nodes told it, until the nearest 3 of those have been asked; and what a node
// says counts for the one path that asked it, so that a liar spoils one path. No node is on two paths. What the paths
// found is put together, since a node counts only once it has answered itself, and the one clean path's nodes are
// nearer than what liars have to offer. Who the lookup's caller is tells whether what was found can be the nearest
// (verdict.h); if not, Widen deals out d more paths.
//
// Also against answers that cost without end: of each answer at most kMaxAnswerNodes contacts count, ourselves and
// nodes already known are ignored, and one lookup asks at most kMaxLookupCalls nodes whatever they invent. (That a
// contact's id is its key's hash is the Network's to see to.)
//
// Departures from the paper: its paths end when they ask no nearer node, these when their nearest 3 are settled; nodes
// that are near enough to the target to be among those wanted are asked at once, for whichever path told of them; nodes
// that another path asked end a path too, unless Widen dealt it out, since honest paths all end among the same; and a
// node silent for a while no longer holds up its path, so that dead nodes slow a lookup little.
//
//   Lookup lookup(self, target, seeds, {.paths = 8, .wanted = 20}, density);
//   for (const Contact& node : lookup.Next()) …ask it…, then lookup.Answered(id, nodes) or lookup.Failed(id)
//   if (lookup.idle()) use(lookup.Nearest(5));
#ifndef DOTAGENT_COMMON_DHT_LOOKUP_H_
#define DOTAGENT_COMMON_DHT_LOOKUP_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/dht/types.h"
#include "common/dht/verdict.h"

namespace dotagent::dht {

inline constexpr size_t kMaxLookupCalls = 240;
inline constexpr size_t kMaxPaths = 32;

struct LookupOptions {
  size_t paths = 8;             // d; 1 to kMaxPaths
  size_t wanted = kBucketSize;  // of the nodes nearest to the target, how many to ask
};

class Lookup {
 public:
  // `seeds`: the nodes nearest to `target` that the caller's table has, nearest first; at most k count. `density` says
  // how many nodes are expected within a distance.
  Lookup(const Id& self, const Id& target, const std::vector<Contact>& seeds, const LookupOptions& options,
         Density density);

  // The nodes to ask now; they count as asked.
  [[nodiscard]] std::vector<Contact> Next();

  // What came of asking `from`. Ignored if it was not asked, or its outcome is known.
  void Answered(const Id& from, const std::vector<Contact>& nodes);
  void Failed(const Id& from);
  // It has not answered for some time; it still may.
  void Silent(const Id& from);

  // Nothing is awaited, and, right after Next came back empty, there is nothing to ask.
  [[nodiscard]] bool idle() const { return awaited_ == 0; }
  // The nodes that answered, nearest first, up to the first that is still to be asked or awaited.
  [[nodiscard]] std::vector<Id> Settled() const;
  // Asks on, until so many of the nearest have been asked.
  void Want(size_t wanted);
  // Deals out nodes that no path has asked to d more paths: of `more`, which the caller's table has, then of those
  // heard of. False if there are none.
  [[nodiscard]] bool Widen(const std::vector<Contact>& more);
  // Every node that was heard of has been asked.
  [[nodiscard]] bool complete() const;
  // There are as many paths as there may be, or as many nodes have been asked: Widen is of no use.
  [[nodiscard]] bool exhausted() const { return awaited_on_.size() >= kMaxPaths || asked_ >= kMaxLookupCalls; }

  // The nodes that answered, nearest first.
  [[nodiscard]] std::vector<Contact> Nearest(size_t count) const;
  [[nodiscard]] uint32_t asked() const { return asked_; }
  [[nodiscard]] uint32_t answered() const { return answered_; }
  // Length of the longest chain of answers, each naming the next node.
  [[nodiscard]] uint32_t hops() const { return hops_; }
  // Paths, of all that were dealt out, that know of the nearest node that answered.
  [[nodiscard]] uint32_t agreeing_paths() const;

 private:
  enum class State : uint8_t { kHeardOf, kAsked, kSilent, kAnswered, kFailed };
  using PathSet = uint32_t;
  // The first half of a distance to the target: who is nearer, and who is who. An id is a hash, so to share a half with
  // somebody else's takes 2^128 tries; who makes two of his own do so, for 2^64, has one of them left out.
  struct Half {
    uint64_t head;
    uint64_t rest;
    friend auto operator<=>(const Half&, const Half&) = default;
  };
  // Small, since every question goes through all of them: the contact is kept apart.
  struct Candidate {
    Half distance;
    uint32_t contact;  // its index
    PathSet known_to;  // the paths that were dealt it, or whose nodes told of it
    uint16_t hop;
    State state = State::kHeardOf;
    uint8_t path = 0;  // that asked it
  };
  using Candidates = std::vector<Candidate>;

  // Takes note of all of them, at most `count`. Quickest where they come nearest first, as honest answers do.
  void Add(const std::vector<Contact>& contacts, size_t count, uint32_t hop, PathSet known_to);
  // Where the contact is among the candidates then; `near`: a place to begin the search at.
  size_t Add(const Contact& contact, uint32_t hop, PathSet known_to, size_t near);
  [[nodiscard]] Half DistanceTo(const Id& id) const;
  // Where the node at this distance is among the candidates, or belongs. O(log n) in how far that is from `near`.
  [[nodiscard]] Candidates::iterator PlaceOf(const Half& distance, size_t near = 0);
  [[nodiscard]] const Contact& ContactOf(const Candidate& candidate) const { return contacts_[candidate.contact]; }
  // Makes room for one more; of those not asked yet the farthest goes.
  void DropFarthest();
  // The candidate, if it was asked and its outcome is open.
  [[nodiscard]] Candidate* Open(const Id& id);
  void Ask(Candidate& candidate, size_t path, std::vector<Contact>* next);
  // The next node of a path that awaits none.
  [[nodiscard]] Candidate* NextOn(size_t path);
  // Adds the nodes near enough to be among the wanted.
  void AskWanted(bool whatever_the_density, std::vector<Contact>* next);
  void Deal(const std::vector<Candidate*>& candidates);

  const Id self_;
  const Id target_;
  const LookupOptions options_;
  const Density density_;
  size_t wanted_;
  Candidates candidates_;  // by distance to the target; bounded
  std::vector<Contact> contacts_;
  std::vector<uint32_t> free_contacts_;  // of contacts_, whose candidates were dropped
  std::vector<size_t> awaited_on_;       // of each path: asked and not silent
  size_t first_path_ = 0;                // of those dealt last
  size_t awaited_ = 0;
  uint32_t asked_ = 0;
  uint32_t answered_ = 0;
  uint32_t hops_ = 0;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_LOOKUP_H_
