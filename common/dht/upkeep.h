// What a node does by itself, hour by hour: looks around in buckets that no lookup visited, and walks through the
// values that it keeps: drops those that have expired, and copies the others to the nodes nearest to them now.
//
// A copy does not prolong a value. A value that someone offered within the last half interval is left out: of its r
// holders the first to come round does the work for all (Kademlia §2.5). Before a record is copied its key's revocation
// is looked for, so that a revoked key's records leave the network within an interval; and a newer version that the
// lookup finds replaces the one that is here. Of a key that many owners share every value is copied by itself, to nodes
// that are looked up once for all that come one after the other.
//
// The walk handles one value at a time; its pace is the network's. Where it is, and when the last one ended, is on
// disk, page by page: a node that is restarted more often than its store can be walked through goes on where it was.
#ifndef DOTAGENT_COMMON_DHT_UPKEEP_H_
#define DOTAGENT_COMMON_DHT_UPKEEP_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/dht/lifeline.h"
#include "common/dht/peers.h"
#include "common/dht/query.h"
#include "common/dht/value_store.h"
#include "common/storage/store.h"

namespace dotagent::dht {

class Upkeep {
 public:
  // Pointers must outlive it.
  Upkeep(Peers* peers, ValueStore* values, storage::Store* store, absl::Duration refresh_interval,
         std::function<double()> stretch, absl::Duration republish_interval)
      : peers_(peers),
        values_(values),
        store_(store),
        refresh_interval_(refresh_interval),
        stretch_(std::move(stretch)),
        republish_interval_(republish_interval) {}

  // Call once.
  void Start();

  // Once the node has joined: looks around in the buckets that are not full yet.
  void FillBuckets() { Refresh(StaleBuckets(1), Passing::kFull); }

 private:
  enum class Passing { kNone, kFull };
  [[nodiscard]] std::vector<size_t> StaleBuckets(double stretch) const;
  // Looks up what refreshes each of these buckets, the deepest first, one after the other, and passes over those that
  // are full by then if so told.
  void Refresh(std::vector<size_t> buckets, Passing passing);
  [[nodiscard]] Effort EffortFor(const Id& target, size_t bucket, Passing passing);
  void ScheduleRefresh();
  // Measures the network's size anew where it is in doubt.
  void WatchSize(absl::Duration pause);
  // Looks up random targets, at most `left`, until the network's size is no longer in doubt.
  void SampleSize(size_t left);
  // Goes on with the walk that the last run began, or waits for the rest of the interval since it ended.
  void ResumeWalk();
  void ScheduleWalk(absl::Duration pause);
  void WalkOn();
  // Puts the place of the walk on disk: the page that begins at cursor_ is next, or, if that is empty, it has ended.
  void SaveWalk();
  // Copies `value`, or what is found to have replaced it, to the nodes nearest to it, and walks on.
  void Copy(const Value& value);
  // As Copy, of a key that many owners share.
  void CopyAmongOthers(const Value& value);
  void CopyTo(const Value& value, const std::vector<Contact>& nearest, const Slot& slot);
  // Stores what a lookup found. Where the disk fails the next walk finds it again.
  void Keep(const Value& value);
  void CopyBest(const Value& held, const QueryResult& found);
  void SweepClaims();
  // `interval`, a tenth more or less, so that nodes started together do not all work at once.
  [[nodiscard]] absl::Duration Jittered(absl::Duration interval);

  Peers* const peers_;
  ValueStore* const values_;
  storage::Store* const store_;
  const absl::Duration refresh_interval_;
  const std::function<double()> stretch_;  // of refresh_interval_; may be null
  const absl::Duration republish_interval_;
  std::string cursor_;           // of the walk; empty at its start
  std::vector<HeldValue> page_;  // what is left of the page that the walk is at
  bool last_page_ = false;
  std::string claims_cursor_;
  // The nodes nearest to the key that many owners share at which the walk is.
  struct Neighbourhood {
    Id key;
    std::vector<Contact> nearest;
    absl::Duration found;
  };
  Neighbourhood neighbourhood_;
  Lifeline lifeline_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_UPKEEP_H_
