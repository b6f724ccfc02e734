#include "common/record/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/status.h"

namespace dotagent::record {
namespace {

using testing::HasSubstr;

constexpr char kPeer[] = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

TEST(AddressTest, AcceptsMultiaddrs) {
  const std::string peer = kPeer;
  for (const std::string& address :
       {std::string("/ip4/192.0.2.1/tcp/4001"), std::string("/ip6/2001:db8::1/tcp/65535"),
        std::string("/ip6/::/udp/1/quic-v1"), std::string("/dns/example.com/tcp/443/tls/ws"),
        std::string("/dns4/resolver-0.resolver/tcp/4001"), std::string("/dns6/x/udp/4001/quic-v1/webtransport"),
        "/ip4/192.0.2.1/tcp/4001/p2p/" + peer, "/p2p/" + peer,
        "/ip4/192.0.2.1/tcp/4001/p2p/" + peer + "/p2p-circuit/p2p/" + peer}) {
    EXPECT_TRUE(CheckAddress(address).ok()) << CheckAddress(address);
  }
}

TEST(AddressTest, RefusalsSayWhichPartIsWrong) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "begin with /"},
      {"192.0.2.1:4001", "begin with /"},
      {"ip4/192.0.2.1/tcp/4001", "begin with /"},
      {"/", "\"\" is not known"},
      {"//ip4/192.0.2.1/tcp/4001", "\"\" is not known"},
      {"/ip4/192.0.2.1/tcp/4001/", "\"\" is not known"},
      {"/ipx/192.0.2.1/tcp/4001", "\"ipx\" is not known"},
      {"/ip4", "after /ip4 comes nothing"},
      {"/ip4/", "after /ip4"},
      {"/ip4/192.0.2/tcp/1", "an IPv4 address"},
      {"/ip4/192.0.2.256/tcp/1", "an IPv4 address"},
      {"/ip4/::1/tcp/1", "an IPv4 address"},
      {"/ip6/192.0.2.1/tcp/1", "an IPv6 address"},
      {"/ip6/2001:db8::1::/tcp/1", "an IPv6 address"},
      {"/dns/-x/tcp/1", "a host name"},
      {"/dns/a..b/tcp/1", "a host name"},
      {"/dns/a b/tcp/1", "printable"},
      {"/dns/a:b/tcp/1", "a host name"},
      {"/ip4/192.0.2.1", "no port"},
      {"/ip4/192.0.2.1/tcp", "after /tcp comes nothing"},
      {"/ip4/192.0.2.1/tcp/0", "a port"},
      {"/ip4/192.0.2.1/tcp/65536", "a port"},
      {"/ip4/192.0.2.1/tcp/+80", "a port"},
      {"/ip4/192.0.2.1/tcp/080", "a port"},
      {"/ip4/192.0.2.1/tcp/http", "a port"},
      {"/tcp/4001", "/tcp may not stand there"},
      {"/ws", "/ws may not stand there"},
      {"/ip4/192.0.2.1/ip4/192.0.2.1/tcp/1", "/ip4 may not stand there"},
      {"/ip4/192.0.2.1/tcp/1/tcp/2", "/tcp may not stand there"},
      {"/ip4/192.0.2.1/p2p-circuit", "/p2p-circuit may not stand there"},
      {"/ip4/192.0.2.1/tcp/1/p2p/short", "a peer id"},
      {"/ip4/192.0.2.1/tcp/1/p2p", "comes nothing"},
      {"/ip4/192.0.2.1/tcp/4001\n", "printable"},
      {std::string("/ip4/192.0.2.1\0/tcp/1", 21), "printable"},
      {"/ip4/192.0.2.1/tcp/1" + std::string(500, 'x'), "520 bytes"},
  };
  for (const auto& [address, problem] : cases) {
    const absl::Status status = CheckAddress(address);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_EQ(ReasonOf(status), reason::kBadAddress) << address;
    EXPECT_THAT(std::string(status.message()), HasSubstr(problem)) << address;
    EXPECT_LT(status.message().size(), 700U);
  }
}

}  // namespace
}  // namespace dotagent::record
