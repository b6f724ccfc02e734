// Which network a node's addresses are in: what a routing table counts by, so that one owner of many addresses does not
// fill it (an eclipse, e.g. of Ethereum: Marcus, Heilman and Goldberg 2018).
//
// A group is a /16 of IPv4 or a /32 of IPv6, about the least that a network operator is given. A name counts as
// its last two labels, which cost about as much a year as a rented address; all names of one public suffix
// (a.co.uk, b.co.uk) fall together, which errs on the strict side. What cannot be read is one group too.
//
// A node announces its addresses itself, and only one of them is known to be true (it answered there). A false one
// gains nothing: it puts the node into one more group. It takes a share of that group from its honest nodes; to shut
// them out costs a place in this node's table for each share, of which a node can block at most kMaxContactAddresses.
#ifndef DOTAGENT_COMMON_DHT_IP_GROUP_H_
#define DOTAGENT_COMMON_DHT_IP_GROUP_H_

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "common/dht/address_list.h"

namespace dotagent::dht {

// The first 32 bits of an IPv6 address. An IPv4 /16, a.b, is written as its 6to4 prefix 2002:a.b (RFC 3056), so that a
// node's 6to4 address is in the group of its IPv4 one; a name as f000::/4 with a hash, which no address has.
using IpGroup = uint32_t;
using IpGroups = absl::InlinedVector<IpGroup, 2>;

// The group of everything that is not /ip4, /ip6, /dns, /dns4 or /dns6 with a value of the right form.
inline constexpr IpGroup kUnknownIpGroup = 0xffffffff;

// Addresses that cannot be reached over the Internet (loopback, RFC 1918, link-local, unique local, shared, for
// documentation; IANA's special-purpose registries) and names that public DNS does not have (one label, .local,
// .internal, .localhost, .test): whoever answers there is already inside.
enum class PrivateAddresses {
  kExempt,  // in no group, so that a cluster behind one /16 works
  kCount,   // as all others
};

// The groups of a node's text multiaddrs, each once, in order. O(bytes); bounded by kMaxContactAddresses addresses.
[[nodiscard]] IpGroups IpGroupsOf(const AddressList& addresses, PrivateAddresses private_addresses);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_IP_GROUP_H_
