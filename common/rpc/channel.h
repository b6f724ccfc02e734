// A gRPC channel to a dotagent service, and whom it reached.
//
// A target is "host:port" or "PEER_ID@host:port". The server's certificate proves a node key (identity/certificate.h).
// With a peer id, any other key is refused. Without one, the first key seen at host:port is remembered, in
// `known_nodes` if there is one, and any later change refused, as ssh does (trust on first use). A server that vanishes
// without a word ends the calls that are open (keepalive.h).
#ifndef DOTAGENT_COMMON_RPC_CHANNEL_H_
#define DOTAGENT_COMMON_RPC_CHANNEL_H_

#include <grpcpp/channel.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/identity/certificate.h"

namespace dotagent::rpc {

struct ChannelOptions {
  const identity::NodeCertificate* certificate =
      nullptr;              // shown to the server; nullptr: none. Must outlive the channel.
  std::string known_nodes;  // file that remembers keys; empty: only this process's memory
  bool plaintext = false;   // no TLS: tests and Unix sockets
};

class Channel {
 public:
  virtual ~Channel() = default;
  [[nodiscard]] virtual const std::shared_ptr<grpc::Channel>& grpc() const = 0;
  // The server's certificate as the last handshake proved it. Unavailable (UNREACHABLE) before the first; call
  // WaitUntilReady.
  [[nodiscard]] virtual absl::StatusOr<identity::PeerCertificate> server() const = 0;
  // Connects. Unavailable (UNREACHABLE) with the target and the cause, Unauthenticated (KEY_MISMATCH) if another key
  // answers.
  [[nodiscard]] virtual absl::Status WaitUntilReady(absl::Duration timeout) = 0;
};

// InvalidArgument (BAD_ADDRESS) if `target` is neither form.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Channel>> NewChannel(absl::string_view target,
                                                                  const ChannelOptions& options);

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_CHANNEL_H_
