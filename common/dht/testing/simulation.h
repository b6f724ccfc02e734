// A whole DHT in one process, on virtual time: for tests and for the simulator. The same seed gives the same run, call
// for call.
//
// Each node is a real Dht over a Network whose calls arrive after a random delay, or never: nodes can be killed,
// started again on their store, cut off, or made to answer whatever a test wants. Messages go through the wire format,
// so that what a decoder refuses is refused here too.
//
//   Simulation simulation({.seed = 1});
//   for (int i = 0; i < 8; ++i) simulation.AddNode();
//   simulation.StartAll();                         // all join through node 0
//   absl::StatusOr<GetResult> found = simulation.Get(5, key, ValueKind::kRecord);
//
// For 100,000 nodes: through_wire, keep_tables and real_keys off. tests/simulation is made of that.
//
// Not thread-safe. A node costs about its routing table.
#ifndef DOTAGENT_COMMON_DHT_TESTING_SIMULATION_H_
#define DOTAGENT_COMMON_DHT_TESTING_SIMULATION_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/dht/dht.h"
#include "common/dht/network.h"
#include "common/dht/testing/event_queue.h"
#include "common/dht/types.h"
#include "common/storage/store.h"

namespace dotagent::dht {

struct SimulationOptions {
  uint64_t seed = 1;
  absl::Duration min_delay = absl::Milliseconds(5);  // one way
  absl::Duration max_delay = absl::Milliseconds(50);
  absl::Duration call_timeout = absl::Seconds(2);
  double loss = 0;           // part of calls that get no answer
  bool through_wire = true;  // false: skip encoding and decoding, and compute sizes (message_size.h)
  bool keep_tables = true;   // false: tables are not saved, so a node that is started again has to be told whom to ask
  bool real_keys = true;     // false: nodes' keys are random bytes, for which no private key exists
  absl::Time start = absl::FromUnixSeconds(1'800'000'000);
};

// Virtual time: what the simulation is at.
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

// A message on its way, for those who count them.
struct MessageSeen {
  size_t caller;           // whose call it is
  const Request& request;  // the call
  bool is_answer;
  size_t bytes;  // as encoded, without the session's framing
};

// What a node does instead of its Dht: an answer, or none.
using Behaviour = std::function<std::optional<Response>(const Request& request)>;

class Simulation {
 public:
  explicit Simulation(SimulationOptions options);
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  // Adds a node, and returns its index. It is up, but not started. `options.self` is filled in, with one address unless
  // it is a client, and with a key unless it has one.
  size_t AddNode(DhtOptions options = {}, bool client = false);
  // Starts node `index` with these bootstrap addresses.
  void Start(size_t index, const std::vector<std::string>& addresses, std::function<void(absl::Status)> done);
  // Starts every node, all but node 0 through node 0, in the same moment, and runs until all are done.
  void StartAll();

  // As kill -9: its Dht and what it awaited are gone, its store stays; calls to it time out.
  void Kill(size_t index);
  // As Kill, and its store is gone too: it never comes back.
  void Remove(size_t index);
  // Starts a killed node again on its store.
  void Restart(size_t index, const std::vector<std::string>& addresses, std::function<void(absl::Status)> done);
  // Answers in place of the node's Dht from now on.
  void SetBehaviour(size_t index, Behaviour behaviour);
  // Node `index`'s wall clock is off by that much from now on. It measures time as well as before.
  void SetClockOffset(size_t index, absl::Duration offset);
  // While it is, what the node writes fails.
  void SetDiskFull(size_t index, bool full);
  // Cuts the network: a call from one node to another, or its answer, arrives only if `reachable(from, to)`; nullptr:
  // it always does. For what arrives from now on.
  void SetReachable(std::function<bool(size_t from, size_t to)> reachable) { reachable_ = std::move(reachable); }

  // Calls `run` once, in `delay` of virtual time.
  void RunAfter(absl::Duration delay, std::function<void()> run);
  // Node `from` calls node `to`, and does not mind what comes of it.
  void Call(size_t from, size_t to, Request request);
  // `observer` is told of every message when it is sent.
  void Observe(std::function<void(const MessageSeen&)> observer) { observer_ = std::move(observer); }

  // These run the simulation until the answer is there.
  [[nodiscard]] absl::StatusOr<GetResult> Get(size_t index, const Id& key, ValueKind kind);
  [[nodiscard]] absl::StatusOr<PutResult> Put(size_t index, ValueKind kind, const Item& item);

  void RunFor(absl::Duration duration);
  // Until `condition` holds; false if it does not within `limit`.
  [[nodiscard]] bool RunUntil(const std::function<bool()>& condition, absl::Duration limit);

  [[nodiscard]] size_t size() const { return nodes_.size(); }
  [[nodiscard]] bool is_up(size_t index) const;
  [[nodiscard]] Dht& dht(size_t index);
  [[nodiscard]] storage::Store& store(size_t index);
  [[nodiscard]] const Contact& contact(size_t index) const;
  // Node `index`'s only address.
  [[nodiscard]] static std::string AddressOf(size_t index);
  // Servers that are up, nearest to `target` first: what a perfect lookup finds.
  [[nodiscard]] std::vector<size_t> NearestTo(const Id& target, size_t count) const;
  [[nodiscard]] const VirtualClock& clock() const { return clock_; }
  [[nodiscard]] Random& random() { return random_; }
  [[nodiscard]] uint64_t calls() const { return calls_; }
  [[nodiscard]] uint64_t messages() const { return messages_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }  // of all messages
  [[nodiscard]] uint64_t events() const { return events_run_; }

 private:
  class Node;
  enum EventKind : uint32_t { kTimer, kArrival, kAnswer, kTimeout };
  // RunAfter's.
  struct Timer {
    Node* node = nullptr;  // whose life it depends on, or nullptr
    uint32_t life = 0;
    std::function<void()> run;
  };
  // A call from when it is made until its answer, or its timeout, has been delivered.
  struct PendingCall {
    size_t caller = 0;
    uint32_t life = 0;  // the caller's when it called
    std::optional<size_t> callee;
    int64_t sent = 0;
    Request request;
    absl::StatusOr<Response> answer;
    std::function<void(absl::StatusOr<Response>)> done;
  };
  // Things with stable addresses and small numbers, which are used again.
  template <typename T>
  class Pool {
   public:
    uint32_t Add(T item);
    T& operator[](uint32_t index) { return items_[index]; }
    T Take(uint32_t index);

   private:
    std::deque<T> items_;
    std::vector<uint32_t> free_;
  };

  void Schedule(absl::Duration delay, Node* node, std::function<void()> run);
  void StartCall(PendingCall call);
  void Arrive(uint32_t index);
  void Finish(uint32_t index);
  void Count(const PendingCall& call, bool is_answer, size_t bytes);
  void TimeOutLater(uint32_t index);
  // Runs the next event, if it is not later than `limit`.
  bool RunNext(absl::Time limit);
  // The index of the node that has this address.
  [[nodiscard]] std::optional<size_t> AtAddress(absl::string_view address) const;
  // It is up, and messages get there from `from` and back.
  [[nodiscard]] bool Answers(size_t from, size_t to) const;

  const SimulationOptions options_;
  SeededRandom random_;
  VirtualClock clock_;
  EventQueue events_;
  Pool<Timer> timers_;
  Pool<PendingCall> pending_;
  uint64_t calls_ = 0;
  uint64_t messages_ = 0;
  uint64_t bytes_ = 0;
  uint64_t events_run_ = 0;
  std::function<void(const MessageSeen&)> observer_;
  std::function<bool(size_t from, size_t to)> reachable_;
  std::vector<std::unique_ptr<Node>> nodes_;
  absl::flat_hash_map<std::string, size_t> by_address_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_TESTING_SIMULATION_H_
