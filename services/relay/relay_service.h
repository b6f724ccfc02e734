// The relay: carries sealed bytes between nodes that cannot reach each other, and knows nothing of what they say.
#ifndef DOTAGENT_SERVICES_RELAY_RELAY_SERVICE_H_
#define DOTAGENT_SERVICES_RELAY_RELAY_SERVICE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/config.h"
#include "services/host/host.h"

namespace dotagent::relay_service {

struct Options {
  host::HostOptions host;
  uint64_t max_reservations = 1024;                      // --max-reservations
  uint64_t max_circuits = 1024;                          // --max-circuits, in all
  uint64_t max_circuits_per_peer = 64;                   // --max-circuits-per-peer
  uint64_t max_circuit_bytes = uint64_t{16} << 30;       // --max-circuit-bytes, both directions together
  absl::Duration max_circuit_duration = absl::Hours(2);  // --max-circuit-duration
  absl::Duration reservation_lifetime = absl::Hours(1);  // --reservation-lifetime
  std::string identity;                                  // --identity: host:port, for revocations; empty: none
  std::string
      tap;  // --tap: appends a copy of every byte that circuits carry to this file, to show that it is ciphertext

  void AddTo(OptionTable& table);
};

[[nodiscard]] absl::StatusOr<std::unique_ptr<host::Service>> Start(const Options& options);

}  // namespace dotagent::relay_service

#endif  // DOTAGENT_SERVICES_RELAY_RELAY_SERVICE_H_
