// The operators' HTTP port: /metrics, /livez and /readyz (differentiated, as Kubernetes probes want them). No other
// path, no request body; small fixed pool of threads, short timeouts: whoever holds connections open delays scrapes,
// not the service.
#ifndef DOTAGENT_COMMON_TELEMETRY_HTTP_ENDPOINT_H_
#define DOTAGENT_COMMON_TELEMETRY_HTTP_ENDPOINT_H_

#include <cstdint>
#include <functional>
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

// Listens on host:port (0: any free one). `ready` answers /readyz and is called from the endpoint's threads.
// Unavailable if the port is taken.
[[nodiscard]] absl::StatusOr<std::unique_ptr<HttpEndpoint>> StartHttpEndpoint(const std::string& host, uint16_t port,
                                                                              const Metrics& metrics,
                                                                              std::function<bool()> ready);

}  // namespace dotagent::telemetry

#endif  // DOTAGENT_COMMON_TELEMETRY_HTTP_ENDPOINT_H_
