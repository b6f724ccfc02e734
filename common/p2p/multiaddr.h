// Multiaddrs, the subset that dotagent dials (https://multiformats.io/multiaddr):
//
//   /ip4/192.0.2.1/tcp/4001[/p2p/PEER]            /ip6/2001:db8::1/tcp/4001[/p2p/PEER]
//   /dns/example.com/tcp/4001[/p2p/PEER] (also dns4, dns6)
//   /ip4/192.0.2.1/tcp/4001/p2p/RELAY/p2p-circuit[/p2p/PEER]: PEER, reached through RELAY
//
// IP addresses are brought into their canonical form and DNS names into lower case, so that equal addresses compare
// equal.
#ifndef DOTAGENT_COMMON_P2P_MULTIADDR_H_
#define DOTAGENT_COMMON_P2P_MULTIADDR_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/keys.h"

namespace dotagent::p2p {

struct Multiaddr {
  enum class HostKind { kIp4, kIp6, kDns, kDns4, kDns6 };
  HostKind kind = HostKind::kIp4;
  std::string host;
  uint16_t port = 0;
  std::optional<crypto::PublicKey> relay;  // set: host:port is this relay's, and `peer` is behind it
  std::optional<crypto::PublicKey> peer;

  // InvalidArgument (BAD_ADDRESS) says which part is wrong. At most 512 bytes.
  [[nodiscard]] static absl::StatusOr<Multiaddr> Parse(absl::string_view text);
  [[nodiscard]] std::string ToString() const;
  // "/ip4/…/tcp/…" alone.
  [[nodiscard]] std::string Transport() const;

  friend bool operator==(const Multiaddr&, const Multiaddr&) = default;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_MULTIADDR_H_
