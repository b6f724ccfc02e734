// What the DHT needs of the world: to call a node, and to be woken. common/p2p implements it over sessions and sockets,
// tests and the simulator over virtual time.
#ifndef DOTAGENT_COMMON_DHT_NETWORK_H_
#define DOTAGENT_COMMON_DHT_NETWORK_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/dht/types.h"

namespace dotagent::dht {

class Network {
 public:
  virtual ~Network() = default;

  // Sends `request` and later calls `done` exactly once, never from inside Call. The implementation sets a deadline. An
  // answer is from the holder of `to.key`, authenticated, and reached at one of `to.addresses`: over a session that was
  // dialled there, not over one that the peer opened to us (or anyone behind a NAT would pass for reachable). The ids
  // of contacts in the answer are the hashes of their keys (as DecodeResponse makes them).
  virtual void Call(const Contact& to, const Request& request, std::function<void(absl::StatusOr<Response>)> done) = 0;

  // Finds out who answers at a bootstrap address (a multiaddr, with or without /p2p). As Call.
  virtual void Identify(const std::string& address, std::function<void(absl::StatusOr<Contact>)> done) = 0;

  // Calls `run` once, after `delay`, never from inside RunAfter; not at all once the network is gone.
  virtual void RunAfter(absl::Duration delay, std::function<void()> run) = 0;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_NETWORK_H_
