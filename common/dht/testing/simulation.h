// A whole DHT in one process, on virtual time: for tests and for the simulator. The same seed gives the same run, call
// for call, on any number of threads (timeline.h).
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
// For 100,000 nodes: through_wire, keep_tables and real_keys off, and a thread for each core. tests/simulation is made
// of that.
//
// All that is done from outside, and all callbacks but those of a node's own Dht, happen between the windows of the
// timeline, when no node moves. With several threads, what is handed to a node's Dht (and a Behaviour, an observer, a
// `reachable`) is called on the node's thread, while other nodes move: it may read what changes between windows only,
// and tells the outside what it has seen by Post.
//
// Not thread-safe otherwise. A node costs about its routing table.
#ifndef DOTAGENT_COMMON_DHT_TESTING_SIMULATION_H_
#define DOTAGENT_COMMON_DHT_TESTING_SIMULATION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/dht/dht.h"
#include "common/dht/network.h"
#include "common/dht/testing/event_queue.h"
#include "common/dht/testing/timeline.h"
#include "common/dht/types.h"
#include "common/storage/store.h"

namespace dotagent::dht {

struct SimulationOptions {
  uint64_t seed = 1;
  size_t threads = 1;
  absl::Duration min_delay = absl::Milliseconds(5);  // one way; must be positive
  absl::Duration max_delay = absl::Milliseconds(50);
  absl::Duration call_timeout = absl::Seconds(2);
  double loss = 0;           // part of calls that get no answer
  bool through_wire = true;  // false: skip encoding and decoding, and compute sizes (message_size.h)
  bool keep_tables = true;   // false: tables are not saved, so a node that is started again has to be told whom to ask
  bool real_keys = true;     // false: nodes' keys are random bytes, for which no private key exists
  absl::Time start = absl::FromUnixSeconds(1'800'000'000);
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
  // From a callback of node `index`'s Dht: calls `run` when the window ends.
  void Post(size_t index, std::function<void()> run) { timeline_.Post(ActorOf(index), std::move(run)); }
  // Node `from` calls node `to`, and does not mind what comes of it.
  void Call(size_t from, size_t to, Request request);
  // `observer` is told of every message when it is sent, on its sender's thread.
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
  [[nodiscard]] const VirtualClock& clock() const { return timeline_.clock(); }
  // From a callback of node `index`'s: the time there, to the nanosecond. (Not what its own clock says:
  // SetClockOffset.)
  [[nodiscard]] const VirtualClock& clock(size_t index) const { return timeline_.clock(ActorOf(index)); }
  [[nodiscard]] Random& random() { return random_; }
  [[nodiscard]] uint64_t calls() const;
  [[nodiscard]] uint64_t messages() const;
  [[nodiscard]] uint64_t bytes() const;  // of all messages
  [[nodiscard]] uint64_t events() const { return timeline_.events(); }

 private:
  class Node;
  class Timer;
  class PendingCall;
  struct Lane;

  [[nodiscard]] static Timeline::Actor ActorOf(size_t index) { return static_cast<Timeline::Actor>(index); }
  [[nodiscard]] Lane& LaneOf(size_t index);
  [[nodiscard]] int64_t NowAt(size_t index) const { return clock(index).nanoseconds(); }

  void Schedule(absl::Duration delay, Node* node, std::function<void()> run);
  void StartCall(PendingCall* call);
  void Arrive(PendingCall* call);
  void Finish(PendingCall* call);
  void Count(size_t sender, const PendingCall& call, bool is_answer, size_t bytes);
  // `node` knows that the caller will get no answer.
  void TimeOutLater(size_t node, PendingCall* call);
  // Runs the next window, or the part of it that is not later than `limit`. False if there is nothing to run.
  bool RunWindow(absl::Time limit);
  // The index of the node that has this address.
  [[nodiscard]] std::optional<size_t> AtAddress(absl::string_view address) const;
  // It is up, and messages get there from `from` and back.
  [[nodiscard]] bool Answers(size_t from, size_t to) const;

  const SimulationOptions options_;
  SeededRandom random_;
  std::function<void(const MessageSeen&)> observer_;
  std::function<bool(size_t from, size_t to)> reachable_;
  absl::flat_hash_map<std::string, size_t> by_address_;
  Timeline timeline_;
  std::vector<Lane> lanes_;  // by the timeline's
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_TESTING_SIMULATION_H_
