// Joining the network: finds a first node through the saved table and the bootstrap addresses, looks up this node's own
// id through it, and tries again, with growing, jittered pauses, whenever the table is empty.
#ifndef DOTAGENT_COMMON_DHT_BOOTSTRAP_H_
#define DOTAGENT_COMMON_DHT_BOOTSTRAP_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/dht/lifeline.h"
#include "common/dht/peers.h"

namespace dotagent::dht {

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

  void Try(std::function<void(absl::Status)> done);
  void Conclude(const std::shared_ptr<Attempt>& attempt);
  // Comes back when the table is empty.
  void Watch();
  // Looks our own id up again, `left` times with growing pauses: nodes that join in the same moment do not see one
  // another at first.
  void LookAroundAgain(int left, absl::Duration pause);

  Peers* const peers_;
  std::vector<std::string> addresses_;
  bool is_first_node_ = false;
  absl::Duration pause_;
  Lifeline lifeline_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_BOOTSTRAP_H_
