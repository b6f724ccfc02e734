// Gateway to gateway: messages, channels and subscriptions over sessions between nodes (protos/dotagent/trunk/v1).
//
// The other gateway is a stranger: what it hands over is checked by post_office.h, channels.h and topics.h as if an
// agent had sent it, and what it answers is bounded in size and time.
#ifndef DOTAGENT_SERVICES_GATEWAY_TRUNK_H_
#define DOTAGENT_SERVICES_GATEWAY_TRUNK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/crypto/keys.h"
#include "common/p2p/node.h"
#include "dotagent/trunk/v1/trunk.pb.h"
#include "services/gateway/pipe.h"
#include "services/gateway/requests.h"

namespace dotagent::gateway_service {

inline constexpr char kDeliverProtocol[] = "/dotagent/deliver/1.0.0";
inline constexpr char kRequestProtocol[] = "/dotagent/request/1.0.0";
inline constexpr char kChannelProtocol[] = "/dotagent/channel/1.0.0";
inline constexpr char kTopicsProtocol[] = "/dotagent/topics/1.0.0";

// A channel that the other gateway has opened.
struct OpenTrunk {
  std::shared_ptr<Pipe> pipe;
  bool relayed = false;
};

// On the loop; callbacks never from inside the call. `gateways` are tried in their order until one is reached;
// its refusal is then the answer, with the other gateway's code, message and reason. Unavailable (UNREACHABLE) if none
// is reached.
class Trunk {
 public:
  virtual ~Trunk() = default;

  // True: the message was there already. Sent again, once, over a new session if one breaks before the answer: the
  // message's id tells the other gateway that it has it.
  virtual void Deliver(std::vector<p2p::PeerAddress> gateways, const trunk::v1::DeliverRequest& request,
                       std::function<void(absl::StatusOr<bool> duplicate)> done) = 0;
  // What the other gateway says is the answer: to be checked.
  virtual void Request(std::vector<p2p::PeerAddress> gateways, const trunk::v1::RequestCall& call,
                       std::function<void(absl::StatusOr<Answer>)> done) = 0;
  virtual void OpenChannel(std::vector<p2p::PeerAddress> gateways, const trunk::v1::ChannelRequest& request,
                           std::function<void(absl::StatusOr<OpenTrunk>)> done) = 0;
  // Of topic_links.h. To this one gateway.
  virtual void OpenTopics(const p2p::PeerAddress& gateway,
                          std::function<void(absl::StatusOr<std::shared_ptr<Pipe>>)> done) = 0;
};

// What to speak, newest first. A gateway that does not know a version resets the stream with kUnknownProtocol, and is
// asked in the next one; a topics link or a channel begins in the only one that there is.
struct TrunkProtocols {
  std::vector<std::string> deliver = {kDeliverProtocol};
  std::vector<std::string> request = {kRequestProtocol};
};

// `node` must outlive it.
[[nodiscard]] std::unique_ptr<Trunk> NewNodeTrunk(const asio::any_io_executor& executor, p2p::Node& node,
                                                  TrunkProtocols protocols = {});

// A channel that another gateway asks for, between its request and the answer.
struct IncomingTrunk {
  crypto::PublicKey from;
  trunk::v1::ChannelRequest request;
  bool relayed = false;
  // Call one of the two, once. `accept` tells the other gateway OK; the pipe is then the agents'.
  std::function<void(std::function<void(absl::StatusOr<std::shared_ptr<Pipe>>)>)> accept;
  std::function<void(const absl::Status&)> refuse;
};

struct TrunkHandlers {
  std::function<void(const crypto::PublicKey& gateway, const trunk::v1::DeliverRequest&,
                     std::function<void(absl::StatusOr<bool> duplicate)>)>
      deliver;
  std::function<void(const crypto::PublicKey& gateway, const trunk::v1::RequestCall&,
                     std::function<void(absl::StatusOr<Answer>)>)>
      request;
  std::function<void(IncomingTrunk)> channel;
  std::function<void(const crypto::PublicKey& gateway, std::shared_ptr<Pipe>)> topics;
};

// Answers the three protocols on the node's port.
void ServeTrunk(const asio::any_io_executor& executor, p2p::Node& node, TrunkHandlers handlers);

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_TRUNK_H_
