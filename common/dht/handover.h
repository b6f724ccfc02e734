// Keeps values where they belong while nodes come and go, between the hourly walks (upkeep.h).
//
// A node's siblings are those nearest to its own id: with it, they hold the same values. Each is pinged every
// kSiblingPing. When one is dropped, or a new node comes among them, the values that are kept here are
// gone through, and for those to which this node is the nearest or the second nearest, what changed is mended: a
// newcomer gets the value, or only the claim, as its place demands; where one left, so does the node that moved up. Two
// do it for each value, so that it is done although one is hostile.
//
// S/Kademlia §4.2 asks for sibling lists for the same reason: with 28 nodes of a neighbourhood known, those that must
// hold a value are known without a lookup. Departure from Kademlia §2.5, where only newcomers get values: there the
// hourly republishing makes up for those that left, in time for sessions of hours, not of minutes.
#ifndef DOTAGENT_COMMON_DHT_HANDOVER_H_
#define DOTAGENT_COMMON_DHT_HANDOVER_H_

#include <map>
#include <set>
#include <string>

#include "absl/time/time.h"
#include "common/dht/lifeline.h"
#include "common/dht/peers.h"
#include "common/dht/types.h"
#include "common/dht/value_store.h"

namespace dotagent::dht {

inline constexpr absl::Duration kSiblingPing = absl::Minutes(5);
// Changes are gathered for this long, so that one pass serves many.
inline constexpr absl::Duration kGather = absl::Seconds(30);

class Handover {
 public:
  // Pointers must outlive it.
  Handover(Peers* peers, ValueStore* values) : peers_(peers), values_(values) {}

  // Call once.
  void Start();

 private:
  void ScheduleLook();
  // Pings siblings, and notes who came and who left.
  void Look();
  void WalkOn();
  void Mend(const Value& value);

  Peers* const peers_;
  ValueStore* const values_;
  std::map<Id, absl::Duration> siblings_;  // as of the last look; when each was pinged, or came
  struct Changes {
    std::set<Id> came;
    bool some_left = false;
  };
  Changes gathered_;  // since the pass under way began
  Changes mending_;   // what the pass under way sees to
  bool walking_ = false;
  std::string cursor_;
  Lifeline lifeline_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_HANDOVER_H_
