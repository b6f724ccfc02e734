// Joining the network, and staying in one piece with it: finds a first node through the saved table and the bootstrap
// addresses, looks up this node's own id through it, and tries again, with growing, jittered pauses, whenever the table
// is empty.
//
// A network that was cut in two heals without an operator. While it was cut, each half dropped the other's nodes, and
// nothing in Kademlia would ever ask them again. So every few minutes a node calls two nodes that it once knew
// (former_nodes.h) and, less often, a bootstrap address. One that answers and is not in the table is asked for the
// nodes nearest to us, they are asked in turn, and those of them that answer enter the table as any node does. If our
// own neighbourhood then has many nodes that it did not have, the halves were apart, and every bucket is looked
// through.
//
// Defends against being led astray: who answers such a call gets us to make kMaxDescentCalls calls at most, and only
// nodes that answer themselves enter the table, under its caps.
#ifndef DOTAGENT_COMMON_DHT_BOOTSTRAP_H_
#define DOTAGENT_COMMON_DHT_BOOTSTRAP_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/dht/lifeline.h"
#include "common/dht/peers.h"

namespace dotagent::dht {

// Between two calls to former nodes, half as long again or half as short.
inline constexpr absl::Duration kReconnectPause = absl::Minutes(5);
// Calls that one answer of a forgotten node may lead to.
inline constexpr size_t kMaxDescentCalls = 40;

class Bootstrap {
 public:
  explicit Bootstrap(Peers* peers) : peers_(peers) {}

  // `done` gets the outcome of the first attempt: OK once the lookup of our own id has ended, or Unavailable
  // (NOT_BOOTSTRAPPED). Call once.
  void Start(const std::vector<std::string>& addresses, std::function<void(absl::Status)> done);

  // There is no one to ask by design, not by misfortune: no address was given and no table saved, or every address
  // given is this node's own.
  [[nodiscard]] bool is_first_node() const { return is_first_node_; }

 private:
  struct Attempt;
  struct Descent;

  void Try(std::function<void(absl::Status)> done);
  void Conclude(const std::shared_ptr<Attempt>& attempt);
  // Comes back when the table is empty.
  void Watch();
  // Looks our own id up again, `left` times with growing pauses: nodes that join in the same moment do not see one
  // another at first. Ends early in a network of more than k nodes if a look shows few but `seen`, the nearest nodes
  // of the one before: newcomers are then found by their own lookups.
  void LookAroundAgain(int left, absl::Duration pause, std::vector<Id> seen);

  // Calls forgotten nodes, now and then.
  void ReconnectLater();
  void Reconnect();
  // Calls the node, unless it is in the table, and then the nodes nearer to us that it leads to. False if it does not.
  bool Descend(const std::shared_ptr<Descent>& descent, const Contact& node);
  void Land(const std::shared_ptr<Descent>& descent);
  // Looks through bucket `index` and all above it.
  void RefreshFrom(size_t index);

  // Half as long again, or half as short.
  [[nodiscard]] absl::Duration Jittered(absl::Duration pause);

  Peers* const peers_;
  std::vector<std::string> addresses_;
  bool is_first_node_ = false;
  absl::Duration pause_;
  size_t reconnects_ = 0;
  size_t next_address_try_ = 1;  // at this number of reconnects
  size_t address_gap_ = 1;
  Lifeline lifeline_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_BOOTSTRAP_H_
