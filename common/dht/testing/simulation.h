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
// Not thread-safe. A node costs about its routing table; an event about 100 bytes.
#ifndef DOTAGENT_COMMON_DHT_TESTING_SIMULATION_H_
#define DOTAGENT_COMMON_DHT_TESTING_SIMULATION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/dht/dht.h"
#include "common/dht/network.h"
#include "common/dht/types.h"
#include "common/storage/store.h"

namespace dotagent::dht {

struct SimulationOptions {
  uint64_t seed = 1;
  absl::Duration min_delay = absl::Milliseconds(5);  // one way
  absl::Duration max_delay = absl::Milliseconds(50);
  absl::Duration call_timeout = absl::Seconds(2);
  double loss = 0;           // part of calls that get no answer
  bool through_wire = true;  // false: skip encoding and decoding, for large runs
  absl::Time start = absl::FromUnixSeconds(1'800'000'000);
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
  // it is a client.
  size_t AddNode(DhtOptions options = {}, bool client = false);
  // Starts node `index` with these bootstrap addresses.
  void Start(size_t index, const std::vector<std::string>& addresses, std::function<void(absl::Status)> done);
  // Starts every node, all but node 0 through node 0, in the same moment, and runs until all are done.
  void StartAll();

  // As kill -9: its Dht and what it awaited are gone, its store stays; calls to it time out.
  void Kill(size_t index);
  // Starts a killed node again on its store.
  void Restart(size_t index, const std::vector<std::string>& addresses, std::function<void(absl::Status)> done);
  // Answers in place of the node's Dht from now on.
  void SetBehaviour(size_t index, Behaviour behaviour);
  // Cuts the network: a call from one node to another, or its answer, arrives only if `reachable(from, to)`; nullptr:
  // it always does. For what arrives from now on.
  void SetReachable(std::function<bool(size_t from, size_t to)> reachable) { reachable_ = std::move(reachable); }

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
  [[nodiscard]] SimulatedClock& clock() { return clock_; }
  [[nodiscard]] Random& random() { return random_; }
  [[nodiscard]] uint64_t calls() const { return calls_; }

 private:
  class Node;
  struct Event {
    absl::Time at;
    uint64_t order;  // of events of one instant: as they were scheduled
    std::function<void()> run;
    friend bool operator<(const Event& a, const Event& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  };

  void Schedule(absl::Duration delay, std::function<void()> run);
  // Runs the next event, if it is not later than `limit`.
  bool RunNext(absl::Time limit);
  [[nodiscard]] absl::Duration Delay();
  // The node that listens on `address`, if it is up.
  [[nodiscard]] Node* Listening(const std::string& address);
  // Messages get from one node to another, and back.
  [[nodiscard]] bool Connected(size_t from, size_t to) const;

  const SimulationOptions options_;
  SeededRandom random_;
  SimulatedClock clock_;
  std::priority_queue<Event> events_;
  uint64_t scheduled_ = 0;
  uint64_t calls_ = 0;
  std::function<bool(size_t from, size_t to)> reachable_;
  std::vector<std::unique_ptr<Node>> nodes_;
  absl::flat_hash_map<std::string, size_t> by_address_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_TESTING_SIMULATION_H_
