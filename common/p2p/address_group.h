// Whom limits by address count as one: what one customer of an access network holds, an IPv4 address or an IPv6 /64.
#ifndef DOTAGENT_COMMON_P2P_ADDRESS_GROUP_H_
#define DOTAGENT_COMMON_P2P_ADDRESS_GROUP_H_

#include <asio/ip/address.hpp>
#include <string>

namespace dotagent::p2p {

// The address in dotted form (also of ::ffff:a.b.c.d, as a dual-stack socket shows IPv4), or the /64's 8 bytes.
[[nodiscard]] std::string AddressGroup(const asio::ip::address& address);

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_ADDRESS_GROUP_H_
