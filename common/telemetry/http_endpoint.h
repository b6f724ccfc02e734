// The operators' HTTP port: /metrics, /livez and /readyz (differentiated, as Kubernetes probes want them), and what a
// service has to tell its operator besides. GET and HEAD only, no request body, one request a connection.
//
// Defends against whoever reaches the port: a request has 8 KiB and 5 seconds, connections are capped, and one thread
// serves them all, so that floods and slow readers delay scrapes, not the service. Written on asio: Debian's
// cpp-httplib 0.11 bounds neither the number of a request's headers nor its queue of connections, and its timeouts
// start again with each byte.
#ifndef DOTAGENT_COMMON_TELEMETRY_HTTP_ENDPOINT_H_
#define DOTAGENT_COMMON_TELEMETRY_HTTP_ENDPOINT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/telemetry/metrics.h"

namespace dotagent::telemetry {

class HttpEndpoint {
 public:
  virtual ~HttpEndpoint() = default;  // stops and joins
  // The port that it listens on (useful with port 0).
  [[nodiscard]] virtual uint16_t port() const = 0;
};

// JSON pages of a service's own by their path, such as "/standings". Called from the endpoint's thread.
using JsonPages = std::map<std::string, std::function<std::string()>>;

// Listens on host:port (0: any free one). `host` is an IP address or "localhost". `ready` answers /readyz; it is called
// from the endpoint's thread and must not block. `metrics` must outlive the endpoint. Unavailable if the port is taken,
// InvalidArgument (BAD_ADDRESS) if `host` is no address.
[[nodiscard]] absl::StatusOr<std::unique_ptr<HttpEndpoint>> StartHttpEndpoint(const std::string& host, uint16_t port,
                                                                              const Metrics& metrics,
                                                                              std::function<bool()> ready,
                                                                              JsonPages pages = {});

}  // namespace dotagent::telemetry

#endif  // DOTAGENT_COMMON_TELEMETRY_HTTP_ENDPOINT_H_
