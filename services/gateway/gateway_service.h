// The gateway: the agents' door. Authenticates them, publishes and resolves their names, keeps their inboxes, and
// carries their channels to other gateways.
#ifndef DOTAGENT_SERVICES_GATEWAY_GATEWAY_SERVICE_H_
#define DOTAGENT_SERVICES_GATEWAY_GATEWAY_SERVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/config.h"
#include "services/gateway/admission_options.h"
#include "services/gateway/sidecar_server.h"
#include "services/host/host.h"

namespace dotagent::gateway_service {

struct Options {
  host::HostOptions host;
  std::string resolver;             // --resolver: host:port; required
  std::string identity;             // --identity: host:port, for revocations and uses of tokens; empty: none
  std::vector<std::string> relays;  // --relay: multiaddrs with /p2p/; repeatable
  absl::Duration token_lifetime = absl::Hours(1);             // --token-lifetime
  uint64_t max_inbox_messages = 10'000;                       // --max-inbox-messages, an agent
  absl::Duration message_lifetime = absl::Hours(24 * 7);      // --message-lifetime
  uint64_t max_deliveries = 100;                              // --max-deliveries, of a message; 0: any number
  absl::Duration dead_letter_lifetime = absl::Hours(24 * 7);  // --dead-letter-lifetime; 0: none are kept
  uint64_t max_channels_per_agent = 64;                       // --max-channels-per-agent
  AdmissionOptions admission;
  std::string
      tap;  // --tap: appends a copy of everything forwarded for agents to this file, to show what a gateway can see
  SidecarOptions sidecar;
  std::vector<std::string> cluster_peers;                    // --cluster-peer: multiaddrs, also of names; repeatable
  std::string cluster_secret_file;                           // --cluster-secret-file; empty: this gateway stands alone
  absl::Duration cluster_down_after = absl::Seconds(5);      // --cluster-down-after
  absl::Duration cluster_drain_timeout = absl::Seconds(30);  // --cluster-drain-timeout

  void AddTo(OptionTable& table);
};

[[nodiscard]] absl::StatusOr<std::unique_ptr<host::Service>> Start(const Options& options);

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_GATEWAY_SERVICE_H_
