// What a node is sized for: `edge` (a small machine or a battery), `standard`, `server` (many peers, much memory).
//
// A profile sets what an option does not: windows and streams, caches, how many connections there may be, and how often
// a node looks after what nobody asked for.
#ifndef DOTAGENT_SERVICES_HOST_PROFILE_H_
#define DOTAGENT_SERVICES_HOST_PROFILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/p2p/node.h"

namespace dotagent::host {

struct Profile {
  std::string name;
  p2p::SessionWindows windows;
  uint64_t max_connections = 0;
  uint64_t max_connections_per_address = 0;
  uint64_t max_handshakes = 0;
  uint64_t max_handshakes_per_address = 0;
  absl::Duration session_idle_timeout;     // sessions without streams
  size_t cached_records = 0;               // a resolver's, and as many absences
  size_t token_cache_bytes = 0;            // a gateway's: capability tokens that have been verified
  absl::Duration bucket_refresh_interval;  // a resolver's: buckets of its routing table without traffic
};

// "edge", "standard" or "server"; InvalidArgument (LIMIT) for another.
[[nodiscard]] absl::StatusOr<Profile> FindProfile(const std::string& name);

}  // namespace dotagent::host

#endif  // DOTAGENT_SERVICES_HOST_PROFILE_H_
