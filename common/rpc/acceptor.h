// Accepts connections for a gRPC server: on a TCP port, or on a Unix socket of this user's own (local_socket.h).
//
// gRPC 1.51's own listener stops for good at the first accept(2) that fails for want of file descriptors
// (CVE-2023-4785): a stranger who opens enough connections once has switched the service off. This one refuses
// connections before the last descriptors are gone, so that the store and the public port keep theirs, and goes on
// accepting whatever happens.
#ifndef DOTAGENT_COMMON_RPC_ACCEPTOR_H_
#define DOTAGENT_COMMON_RPC_ACCEPTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace dotagent::rpc {

class Acceptor {
 public:
  // Binds host:port ([host]:port for IPv6; port 0: any free one), or unix:/PATH. Unavailable (UNREACHABLE) with the
  // address if it is in use, InvalidArgument (BAD_ADDRESS) if it is none; of a path as ListenOnLocalSocket.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Acceptor>> Bind(const std::string& listen);
  virtual ~Acceptor() = default;  // stops

  [[nodiscard]] virtual uint16_t port() const = 0;  // 0 of a Unix socket
  // From now on gives each connection to `take`, on the acceptor's own thread; `take` owns the descriptor. Once.
  virtual void Start(std::function<void(int fd)> take) = 0;
  // Closes the port, or removes the socket, and joins the thread. Idempotent.
  virtual void Stop() = 0;
};

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_ACCEPTOR_H_
