// The syntax of multiaddrs in records (https://multiformats.io/multiaddr), checked before anyone stores or dials them.
//
// A record's addresses are what a stranger wants others to connect to, so each must at least be one: known components,
// each with a value of the right form, a host before a port. Whether this release can dial it is p2p's question; a
// record may also list addresses (QUIC, WebSocket) for other implementations.
#ifndef DOTAGENT_COMMON_RECORD_ADDRESS_H_
#define DOTAGENT_COMMON_RECORD_ADDRESS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace dotagent::record {

inline constexpr size_t kMaxAddressSize = 512;

// InvalidArgument (BAD_ADDRESS) says which part is wrong. Accepted:
//
//   HOST/tcp|udp/PORT[/COMPONENT…]   with HOST one of /ip4/A, /ip6/A, /dns/D, /dns4/D, /dns6/D
//   /p2p/ID[/COMPONENT…]             a node to be found by its id
//
// and COMPONENT one of /p2p/ID, /p2p-circuit, /quic-v1, /ws, /wss, /tls, /noise, /http, /https, /webtransport.
[[nodiscard]] absl::Status CheckAddress(absl::string_view address);

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_ADDRESS_H_
