// A dht::Network that knows that a DNS name may stand for many nodes, as that of a Kubernetes headless service does.
//
// Identify resolves the name afresh at every attempt and asks all of its addresses at once. It answers with the first
// node that is not this one; the others are told of by the way, so that a deployment is known whole after one look. It
// answers with this node itself only if every address is its own: where some are silent, others are still starting, and
// a node that took itself for the first of its network would found a second one.
//
// Everything else goes to the network beneath.
#ifndef DOTAGENT_COMMON_P2P_DNS_NETWORK_H_
#define DOTAGENT_COMMON_P2P_DNS_NETWORK_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "common/crypto/keys.h"
#include "common/dht/network.h"
#include "common/p2p/multiaddr.h"
#include "common/p2p/name_resolver.h"

namespace dotagent::p2p {

class DnsNetwork : public dht::Network {
 public:
  // Of what one name resolves to; whoever answers for the name decides how much that is.
  static constexpr size_t kMaxAddresses = 64;

  // Both must outlive it. `self` is this node's key.
  DnsNetwork(dht::Network* beneath, NameResolver* names, const crypto::PublicKey& self);
  ~DnsNetwork() override;

  // Who is told of the nodes that answered beside the first. Call before the first Identify.
  void OnFound(std::function<void(const dht::Contact&)> found);

  void Call(const dht::Contact& to, const dht::Request& request,
            std::function<void(absl::StatusOr<dht::Response>)> done) override;
  void Identify(const std::string& address, std::function<void(absl::StatusOr<dht::Contact>)> done) override;
  void RunAfter(absl::Duration delay, std::function<void()> run) override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_DNS_NETWORK_H_
