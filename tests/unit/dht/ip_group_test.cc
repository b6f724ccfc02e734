#include "common/dht/ip_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace dotagent::dht {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

IpGroups Public(const std::vector<std::string>& addresses) { return IpGroupsOf(addresses, PrivateAddresses::kExempt); }
IpGroups Counted(const std::vector<std::string>& addresses) { return IpGroupsOf(addresses, PrivateAddresses::kCount); }

TEST(IpGroupTest, AnIp4GroupIsA16) {
  EXPECT_THAT(Public({"/ip4/8.9.10.11/tcp/4001"}), ElementsAre(0x20020809));
  EXPECT_EQ(Public({"/ip4/8.9.10.11/tcp/4001"}), Public({"/ip4/8.9.255.0/udp/1/quic-v1"}));
  EXPECT_NE(Public({"/ip4/8.9.10.11/tcp/4001"}), Public({"/ip4/8.10.10.11/tcp/4001"}));
}

TEST(IpGroupTest, AnIp6GroupIsA32) {
  EXPECT_THAT(Public({"/ip6/2a01:4f8:1:2::3/tcp/4001"}), ElementsAre(0x2a0104f8));
  EXPECT_EQ(Public({"/ip6/2a01:4f8:ffff::/tcp/1"}), Public({"/ip6/2a01:04F8::1/tcp/4001"}));
  EXPECT_NE(Public({"/ip6/2a01:4f9::/tcp/1"}), Public({"/ip6/2a01:4f8::/tcp/1"}));
}

TEST(IpGroupTest, Ip4InsideIp6IsTheIp4Group) {
  const IpGroups expected = Public({"/ip4/8.9.10.11/tcp/1"});
  EXPECT_EQ(Public({"/ip6/::ffff:8.9.10.11/tcp/1"}), expected);
  EXPECT_EQ(Public({"/ip6/64:ff9b::8.9.10.11/tcp/1"}), expected);
  EXPECT_EQ(Public({"/ip6/2002:809:a0b::1/tcp/1"}), expected);
  EXPECT_THAT(Public({"/ip6/::ffff:10.0.0.1/tcp/1"}), IsEmpty());
}

TEST(IpGroupTest, ANodeIsInTheGroupOfEachAddressOnce) {
  EXPECT_THAT(Public({"/ip6/2a01:4f8::1/tcp/1", "/ip4/8.9.1.1/tcp/1", "/ip4/8.9.1.1/tcp/2", "/ip4/10.0.0.1/tcp/1"}),
              ElementsAre(0x20020809, 0x2a0104f8));
  EXPECT_THAT(Public({}), IsEmpty());
  std::vector<std::string> many;
  for (int i = 0; i < 100; ++i) many.push_back(absl::StrCat("/ip4/8.", i, ".0.1/tcp/1"));
  EXPECT_EQ(Public(many).size(), 8);
}

TEST(IpGroupTest, PrivateAddressesAreExemptUnlessCounted) {
  for (const char* address : {"/ip4/127.0.0.1/tcp/1",   "/ip4/10.255.0.1/tcp/1",
                              "/ip4/172.16.0.1/tcp/1",  "/ip4/172.31.255.255/tcp/1",
                              "/ip4/192.168.7.1/tcp/1", "/ip4/169.254.1.1/tcp/1",
                              "/ip4/100.64.0.1/tcp/1",  "/ip4/100.127.255.255/tcp/1",
                              "/ip4/192.0.2.1/tcp/1",   "/ip4/198.51.100.1/tcp/1",
                              "/ip4/203.0.113.1/tcp/1", "/ip4/0.0.0.0/tcp/1",
                              "/ip6/::1/tcp/1",         "/ip6/::/tcp/1",
                              "/ip6/fe80::1/tcp/1",     "/ip6/febf::1/tcp/1",
                              "/ip6/fd00::1/tcp/1",     "/ip6/fc00::1/tcp/1",
                              "/ip6/2001:db8::1/tcp/1", "/dns4/resolver-0.resolver.ns.svc.cluster.local/tcp/1",
                              "/dns/resolver/tcp/1",    "/dns6/a.INTERNAL/tcp/1",
                              "/dns/a.localhost./tcp/1"}) {
    EXPECT_THAT(Public({address}), IsEmpty()) << address;
    EXPECT_EQ(Counted({address}).size(), 1) << address;
  }
  EXPECT_EQ(Counted({"/ip4/10.1.0.1/tcp/1"}), Counted({"/ip4/10.1.9.9/tcp/1"}));
  EXPECT_NE(Counted({"/ip4/10.1.0.1/tcp/1"}), Counted({"/ip4/10.2.0.1/tcp/1"}));
  for (const char* address : {"/ip4/172.32.0.1/tcp/1", "/ip4/172.15.0.1/tcp/1", "/ip4/11.0.0.1/tcp/1",
                              "/ip4/100.128.0.1/tcp/1", "/ip4/100.63.0.1/tcp/1", "/ip4/192.0.3.1/tcp/1",
                              "/ip4/198.20.0.1/tcp/1", "/ip6/fec0::1/tcp/1", "/ip6/::2/tcp/1", "/ip6/fe00::1/tcp/1"}) {
    EXPECT_EQ(Public({address}).size(), 1) << address;
  }
}

TEST(IpGroupTest, ANameCountsAsItsLastTwoLabels) {
  const IpGroups example = Public({"/dns4/a.example.com/tcp/1"});
  EXPECT_EQ(example.size(), 1);
  EXPECT_EQ(example[0] >> 28, 0xf);
  EXPECT_EQ(Public({"/dns6/b.c.EXAMPLE.com./tcp/1"}), example);
  EXPECT_EQ(Public({"/dns/example.com/udp/1"}), example);
  EXPECT_NE(Public({"/dns/example.org/udp/1"}), example);
  EXPECT_NE(Public({"/dns/notlocal.com/udp/1"}), example);
  EXPECT_EQ(Public({"/dns/mylocal/udp/1", "/dns/x.notlocal/udp/1"}).size(), 1);
}

TEST(IpGroupTest, WhatCannotBeReadIsOneGroup) {
  for (const std::string& address : {std::string(),
                                     std::string("/"),
                                     std::string("nonsense"),
                                     std::string("/ip4"),
                                     std::string("/ip4/"),
                                     std::string("/ip4//tcp/1"),
                                     std::string("/ip4/1.2.3/tcp/1"),
                                     std::string("/ip4/01.2.3.4/tcp/1"),
                                     std::string("/ip4/256.2.3.4/tcp/1"),
                                     std::string("/ip4/10.0.0.1 /tcp/1"),
                                     std::string("/ip4/10.0.0.1\0/tcp", 18),
                                     std::string("/ip6/::1%eth0/tcp/1"),
                                     std::string("/ip6/1::2::3/tcp/1"),
                                     std::string("/ip6/10.0.0.1/tcp/1"),
                                     std::string("/ip4/::1/tcp/1"),
                                     std::string("/IP4/10.0.0.1/tcp/1"),
                                     std::string("/ip6zone/x/ip6/::1"),
                                     std::string("/dns//tcp/1"),
                                     std::string("/dns/./tcp/1"),
                                     std::string("/p2p/x/p2p-circuit"),
                                     std::string("/dns4/8.9.10.11/tcp/1"),
                                     std::string("/dns/0x8090a0b/tcp/1"),
                                     std::string("/dns/::1/tcp/1"),
                                     "/ip6/" + std::string(200, '1')}) {
    EXPECT_THAT(Public({address}), ElementsAre(kUnknownIpGroup)) << address;
  }
}

}  // namespace
}  // namespace dotagent::dht
