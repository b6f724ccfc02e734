// The addresses under which this machine can be dialled, for a node that listens on all of them.
#ifndef DOTAGENT_COMMON_P2P_LOCAL_ADDRESSES_H_
#define DOTAGENT_COMMON_P2P_LOCAL_ADDRESSES_H_

#include <asio/ip/address.hpp>
#include <vector>

namespace dotagent::p2p {

// The IP addresses behind `bound`: itself, or, if it is 0.0.0.0 or ::, those of the interfaces that are up, without
// loopback and link-local ones; loopback if there is nothing else.
[[nodiscard]] std::vector<asio::ip::address> DiallableAddresses(const asio::ip::address& bound);

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_LOCAL_ADDRESSES_H_
