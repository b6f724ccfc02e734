// Nodes on the same link find each other without an address being configured: multicast DNS (RFC 6762) and DNS-SD
// (RFC 6763) through the machine's avahi-daemon. Each node announces `_dotagent._tcp` with its public port and, in the
// TXT record, `peer=<peer id>`.
//
// Anyone on the link can announce anything: what is found is an address to dial, with the key that must answer there,
// and how many are remembered is bounded. If the daemon is away, or goes away, this waits for it to come back.
#ifndef DOTAGENT_SERVICES_HOST_MDNS_H_
#define DOTAGENT_SERVICES_HOST_MDNS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace dotagent::host {

struct MdnsOptions {
  std::string peer_id;
  uint16_t port = 0;  // of the public port, which must listen on the link
  // A multiaddr with /p2p/ of each other node, once for each of its addresses until the daemon is lost. Called on a
  // thread of avahi's.
  std::function<void(const std::string& address)> found;
};

// Owns a thread.
class Mdns {
 public:
  static constexpr size_t kMaxFound = 256;  // addresses that are remembered

  // Unavailable (UNREACHABLE) if avahi's library cannot start; not if only its daemon is missing.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Mdns>> Start(MdnsOptions options);
  // Takes the announcement back; `found` is not called any more.
  ~Mdns();

 private:
  Mdns();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dotagent::host

#endif  // DOTAGENT_SERVICES_HOST_MDNS_H_
