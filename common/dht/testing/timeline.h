// Virtual time for thousands of actors on several threads, with the same outcome on any number of them.
//
// A conservative parallel simulation (Nicol's YAWNS, 1993): whatever an actor does to another takes at least a known
// time, the lookahead; here it is a network's least delay. So all that is going to happen within one lookahead of the
// earliest event (a window) is known when the window begins, and each actor's part of it can run beside all others'.
// Each thread runs the events of its own actors in order; what they send to actors of other threads is handed over
// between windows. Whoever watches the whole (the experiment) acts between windows too, when nothing else moves: what
// an actor has to tell it is posted, and is up to one window late.
//
// Actors act one at a time each: their events run on one thread, in the order of time, source and the source's count,
// which depends on neither the number of threads nor their luck.
//
//   Timeline timeline(absl::UnixEpoch(), absl::Milliseconds(5), 2);
//   const Timeline::Actor alice = timeline.AddActor();
//   const Timeline::Actor bob = timeline.AddActor();
//   timeline.Schedule(alice, bob, timeline.clock(alice).nanoseconds() + 7'000'000, &arrival);
//   while (!done && timeline.RunWindow(end_ns)) {
//   }
//
// Thread safety: see the members. "As actor A" is from inside an event of A's, or between windows.
#ifndef DOTAGENT_COMMON_DHT_TESTING_TIMELINE_H_
#define DOTAGENT_COMMON_DHT_TESTING_TIMELINE_H_

#include <barrier>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/dht/testing/event_queue.h"

namespace dotagent::dht {

// Virtual time: what the simulation, or an actor in it, is at.
class VirtualClock : public Clock {
 public:
  explicit VirtualClock(absl::Time start) : start_(start) {}

  [[nodiscard]] absl::Time Now() const override { return start_ + Elapsed(); }
  [[nodiscard]] absl::Duration Elapsed() const override { return absl::Nanoseconds(nanoseconds_); }

  [[nodiscard]] int64_t nanoseconds() const { return nanoseconds_; }
  // Does nothing if it is later already.
  void MoveTo(int64_t nanoseconds) { nanoseconds_ = nanoseconds > nanoseconds_ ? nanoseconds : nanoseconds_; }

 private:
  const absl::Time start_;
  int64_t nanoseconds_ = 0;
};

class Timeline {
 public:
  using Actor = uint32_t;

  // `lookahead` must be positive; `threads`, the caller's among them, at least 1.
  Timeline(absl::Time start, absl::Duration lookahead, size_t threads);
  ~Timeline();
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  // Between windows only. Actors are numbered from 0.
  Actor AddActor();

  // A lane is what one thread runs: actors of different lanes act at the same time.
  [[nodiscard]] size_t lane(Actor actor) const { return actor % lanes_.size(); }
  [[nodiscard]] size_t lanes() const { return lanes_.size(); }

  // As the actor: what time it is for it.
  [[nodiscard]] const VirtualClock& clock(Actor actor) const { return lanes_[lane(actor)]->clock; }
  // Between windows: what time it is for all.
  [[nodiscard]] const VirtualClock& clock() const { return clock_; }

  // As `from`: `event` runs as `to`, at `at` nanoseconds; unless `to` is `from`, at least one lookahead from now.
  void Schedule(Actor from, Actor to, int64_t at, Event* event);

  // As `from`: `run` is called between windows, at the end of this one.
  void Post(Actor from, std::function<void()> run);

  // Between windows: `run` is called at `at` nanoseconds, once all has happened that happens until then.
  void RunAt(int64_t at, std::function<void()> run);

  // Runs the next window, and then what was posted in it. Nothing later than `limit` is run. False if there is nothing.
  bool RunWindow(int64_t limit);

  // Between windows: nothing happens before `nanoseconds`; that is the time now.
  void MoveTo(int64_t nanoseconds);

  // Between windows: events run so far.
  [[nodiscard]] uint64_t events() const;

 private:
  // When, by whom, and the how manieth of his.
  using Order = std::tuple<int64_t, Actor, uint32_t>;
  static constexpr Actor kOutside = std::numeric_limits<Actor>::max();

  struct Handover {
    Actor to;
    EventQueue::Entry entry;
  };
  // Used by its own thread within a window, by the caller's between windows. On cache lines of its own.
  struct alignas(64) Lane {
    explicit Lane(absl::Time start) : clock(start) {}
    VirtualClock clock;
    EventQueue events;
    std::vector<uint32_t> caused;    // by each of its actors
    std::vector<Handover> outgoing;  // to other lanes
    std::vector<std::pair<Order, std::function<void()>>> posts;
    uint64_t events_run = 0;
  };

  [[nodiscard]] uint32_t NextNumber(Actor actor) { return lanes_[lane(actor)]->caused[actor / lanes_.size()]++; }
  // What one thread does.
  void Work(size_t lane);
  void RunLane(Lane* lane) const;
  // When the next window begins, if there is one.
  [[nodiscard]] std::optional<int64_t> NextTime();
  void RunLanes();
  void HandOver();
  void CollectPosts();
  // Runs what is due between windows.
  void RunOutside();

  const int64_t lookahead_;
  VirtualClock clock_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  size_t actors_ = 0;
  uint32_t caused_outside_ = 0;
  std::map<Order, std::function<void()>> outside_;
  uint64_t outside_run_ = 0;

  // The threads of all lanes but the first, which is the caller's. They read these two after the barrier only.
  int64_t window_end_ = 0;
  bool stopping_ = false;
  std::barrier<> begin_;
  std::barrier<> end_;
  std::vector<std::jthread> threads_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_TESTING_TIMELINE_H_
