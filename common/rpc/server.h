// A gRPC server as every service runs it: TLS, health, reflection, limits, drain.
//
// TLS uses the node's certificate (identity/certificate.h); a client certificate is asked for and not required, and
// whoever shows one has proved a node key (PeerKey below). Limits: message size, concurrent streams, metadata size,
// idle and connection age, pings (keepalive.h). Debian's gRPC 1.51 has known holes (docs/threat-model.md): acceptor.h
// and hpack_guard.h stop those that its own limits do not; tests/integration/grpc_abuse.py shows it.
#ifndef DOTAGENT_COMMON_RPC_SERVER_H_
#define DOTAGENT_COMMON_RPC_SERVER_H_

#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate.h"
#include "common/rpc/acceptor.h"
#include "common/rpc/keepalive.h"

namespace dotagent::rpc {

struct ServerOptions {
  std::string listen = "127.0.0.1:0";  // host:port, port 0: any free one; or unix:/PATH
  const identity::NodeCertificate* certificate =
      nullptr;  // nullptr: no TLS (Unix sockets, loopback and tests only; Start refuses it on other addresses)
  int max_message_bytes = 2 * 1024 * 1024;
  int max_concurrent_streams = 1000;  // a connection
  Keepalive keepalive = kServerKeepalive;
};

class Server {
 public:
  // Starts serving. `services` must outlive the server. Unavailable with the address if the port is in use. Health is
  // NOT_SERVING until SetServing(true).
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                                     const std::vector<grpc::Service*>& services);
  ~Server();

  [[nodiscard]] uint16_t port() const { return acceptor_->port(); }
  void SetServing(bool serving);
  // NOT_SERVING, then waits until calls have finished, but at most `grace`, then cancels the rest. Idempotent.
  void Drain(absl::Duration grace);

 private:
  Server() = default;
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections_;  // gRPC's end of acceptor_
  std::unique_ptr<grpc::Server> server_;
};

// The node key that the caller proved with its TLS client certificate; Unauthenticated (NOT_AUTHENTICATED) if it showed
// none or a bad one.
[[nodiscard]] absl::StatusOr<crypto::PublicKey> PeerKey(const grpc::ServerContextBase& context, absl::Time now);

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_SERVER_H_
