// dht::Network over a node's sessions, and the DHT protocol served on its port.
#ifndef DOTAGENT_COMMON_P2P_DHT_NETWORK_H_
#define DOTAGENT_COMMON_P2P_DHT_NETWORK_H_

#include <asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "common/dht/dht.h"
#include "common/dht/network.h"
#include "common/dht/wire.h"
#include "common/p2p/node.h"

namespace dotagent::p2p {

struct DhtNetworkOptions {
  absl::Duration call_timeout = absl::Seconds(2);
  std::string protocol = dht::kProtocolId;  // ProtocolIdOf the network's rules: nodes with others are strangers
  // Nodes are only known with the solution of their dynamic puzzle: Identify asks them for it.
  bool dynamic_puzzle = false;
  // A node was called that does not speak `protocol`: it has other rules, or is no node of the DHT.
  std::function<void(const crypto::PublicKey&)> met_stranger = nullptr;
};

// Both must outlive it.
class DhtNetwork : public dht::Network {
 public:
  DhtNetwork(const asio::any_io_executor& executor, Node& node, DhtNetworkOptions options = {});
  ~DhtNetwork() override;

  // Answers the DHT protocol on the node's port with `dht`. Call once; `dht` must outlive the node's sessions
  // (Node::Close ends them).
  void Serve(dht::Dht& dht);

  void Call(const dht::Contact& to, const dht::Request& request,
            std::function<void(absl::StatusOr<dht::Response>)> done) override;
  void Identify(const std::string& address, std::function<void(absl::StatusOr<dht::Contact>)> done) override;
  void RunAfter(absl::Duration delay, std::function<void()> run) override;

 private:
  struct State;

  // Asks a node that has just been dialled for what Identify cannot see.
  void AskSolution(dht::Contact contact, std::function<void(absl::StatusOr<dht::Contact>)> done);

  std::shared_ptr<State> state_;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_DHT_NETWORK_H_
