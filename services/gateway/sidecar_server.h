// Sidecar mode as a gateway runs it: the agent's key and name from the options, the sidecar on the gateway's loop, and
// the Unix socket on which it is served.
#ifndef DOTAGENT_SERVICES_GATEWAY_SIDECAR_SERVER_H_
#define DOTAGENT_SERVICES_GATEWAY_SIDECAR_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/config.h"
#include "services/gateway/gateway.h"
#include "services/host/host.h"

namespace dotagent::gateway_service {

struct SidecarOptions {
  std::string socket;       // --sidecar-socket: absolute path; empty: no sidecar
  std::string name;         // --agent-name
  std::string key;          // --agent-key: a key address; made if there is none
  std::string certificate;  // --agent-certificate: a registrar's, PEM; read again at each registration

  void AddTo(OptionTable& table);
  [[nodiscard]] bool enabled() const { return !socket.empty(); }
};

class SidecarServer {
 public:
  virtual ~SidecarServer() = default;

  // Keeps the name registered; on the loop, about once a second.
  virtual void Tick() = 0;
  // Takes no more calls, waits for those that run, removes the socket. Idempotent; not from the loop, which must run.
  virtual void Drain(absl::Duration grace) = 0;
};

// Serves. `host` and `gateway`, which lives on its loop, must outlive it; it is drained before its end. InvalidArgument
// if an option is missing or wrong; as crypto::KeyStore of the key, and as rpc::ListenOnLocalSocket.
[[nodiscard]] absl::StatusOr<std::unique_ptr<SidecarServer>> StartSidecar(
    const SidecarOptions& options, host::Host& host, Gateway& gateway,
    std::function<std::vector<std::string>()> addresses);

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_SIDECAR_SERVER_H_
