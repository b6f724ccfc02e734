// Every IP address that a DNS name has now: tcp_dial.h is content with the first that answers, but behind the name of a
// Kubernetes headless service each address is another node.
#ifndef DOTAGENT_COMMON_P2P_NAME_RESOLVER_H_
#define DOTAGENT_COMMON_P2P_NAME_RESOLVER_H_

#include <asio/any_io_executor.hpp>
#include <asio/ip/address.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/p2p/multiaddr.h"

namespace dotagent::p2p {

// On the loop.
class NameResolver {
 public:
  virtual ~NameResolver() = default;

  // `name` with its host replaced by each of its addresses, of the family that its kind (dns, dns4, dns6) asks for.
  // `done` is called once, never from inside, and not at all once the resolver is gone; it gets at least one address,
  // or Unavailable (UNREACHABLE) with the system's words.
  virtual void Resolve(const Multiaddr& name, std::function<void(absl::StatusOr<std::vector<Multiaddr>>)> done) = 0;
};

// `name` at each of these addresses, once each. Without link-local ones: they are of this link
// only, and without their scope of no use.
[[nodiscard]] std::vector<Multiaddr> AtAddresses(const Multiaddr& name, absl::Span<const asio::ip::address> addresses);

// The system's: asks afresh each time, on a thread of asio's. Its own timeouts apply (resolv.conf).
[[nodiscard]] std::unique_ptr<NameResolver> NewSystemNameResolver(const asio::any_io_executor& executor);

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_NAME_RESOLVER_H_
