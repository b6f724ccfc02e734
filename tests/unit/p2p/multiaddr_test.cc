#include "common/p2p/multiaddr.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"

namespace dotagent::p2p {
namespace {

using testing::HasSubstr;

std::string SomePeer(uint64_t seed) {
  SeededRandom random(seed);
  return crypto::PeerIdFromKey(crypto::SigningKey::Generate(random).public_key());
}

TEST(MultiaddrTest, PrintsWhatItParsed) {
  const std::string peer = SomePeer(1);
  const std::string relay = SomePeer(2);
  for (const std::string& text : {
           std::string("/ip4/192.0.2.1/tcp/4001"),
           std::string("/ip4/0.0.0.0/tcp/0"),
           std::string("/ip6/::/tcp/65535"),
           std::string("/ip6/2001:db8::1/tcp/4001"),
           std::string("/dns/example.com/tcp/443"),
           std::string("/dns4/node-1.example/tcp/1"),
           std::string("/dns6/a_b.example/tcp/1"),
           "/ip4/192.0.2.1/tcp/4001/p2p/" + peer,
           "/dns/example.com/tcp/4001/p2p/" + peer,
           "/ip4/192.0.2.1/tcp/4001/p2p/" + relay + "/p2p-circuit/p2p/" + peer,
           "/ip4/192.0.2.1/tcp/4001/p2p/" + relay + "/p2p-circuit",
       }) {
    const auto address = Multiaddr::Parse(text);
    ASSERT_TRUE(address.ok()) << text << ": " << address.status();
    EXPECT_EQ(address->ToString(), text);
    EXPECT_EQ(*Multiaddr::Parse(address->ToString()), *address);
  }
}

TEST(MultiaddrTest, TellsRelayFromPeer) {
  const std::string text = "/ip4/192.0.2.1/tcp/4001/p2p/" + SomePeer(2) + "/p2p-circuit/p2p/" + SomePeer(1);
  const auto address = Multiaddr::Parse(text);
  ASSERT_TRUE(address.ok());
  EXPECT_EQ(crypto::PeerIdFromKey(*address->relay), SomePeer(2));
  EXPECT_EQ(crypto::PeerIdFromKey(*address->peer), SomePeer(1));
  EXPECT_EQ(address->Transport(), "/ip4/192.0.2.1/tcp/4001");
}

TEST(MultiaddrTest, BringsHostsIntoOneForm) {
  EXPECT_EQ(Multiaddr::Parse("/ip6/2001:DB8:0:0::1/tcp/1")->ToString(), "/ip6/2001:db8::1/tcp/1");
  EXPECT_EQ(Multiaddr::Parse("/dns/Example.COM/tcp/1")->ToString(), "/dns/example.com/tcp/1");
}

struct BadCase {
  std::string text;
  std::string says;
};

TEST(MultiaddrTest, RefusesEverythingElseAndSaysWhichPart) {
  const std::string peer = SomePeer(1);
  const BadCase cases[] = {
      {"", "start with \"/\""},
      {"ip4/192.0.2.1/tcp/1", "start with \"/\""},
      {"/", "/ip4, /ip6, /dns"},
      {"/unix/tmp", "/ip4, /ip6, /dns"},
      {"/ip4", "host is missing"},
      {"/ip4/192.0.2.256/tcp/1", "no ip4 host"},
      {"/ip4/192.0.2/tcp/1", "no ip4 host"},
      {"/ip4/192.0.2.01/tcp/1", "no ip4 host"},
      {"/ip4/::1/tcp/1", "no ip4 host"},
      {"/ip4/example.com/tcp/1", "no ip4 host"},
      {"/ip6/192.0.2.1/tcp/1", "no ip6 host"},
      {"/ip6/fe80::1%eth0/tcp/1", "no ip6 host"},
      {"/dns//tcp/1", "no dns host"},
      {"/dns/-a.example/tcp/1", "no dns host"},
      {"/dns/a..b/tcp/1", "no dns host"},
      {"/dns/a b/tcp/1", "no dns host"},
      {"/dns/" + std::string(64, 'a') + "/tcp/1", "no dns host"},
      {"/ip4/192.0.2.1", "/tcp/PORT"},
      {"/ip4/192.0.2.1/udp/1", "/tcp/PORT"},
      {"/ip4/192.0.2.1/tcp", "/tcp/PORT"},
      {"/ip4/192.0.2.1/tcp/", "port must be"},
      {"/ip4/192.0.2.1/tcp/65536", "port must be"},
      {"/ip4/192.0.2.1/tcp/080", "port must be"},
      {"/ip4/192.0.2.1/tcp/-1", "port must be"},
      {"/ip4/192.0.2.1/tcp/999999999999", "port must be"},
      {"/ip4/192.0.2.1/tcp/1/", "nothing known"},
      {"/ip4/192.0.2.1/tcp/1/p2p", "needs a peer id"},
      {"/ip4/192.0.2.1/tcp/1/p2p/bogus", "not an address"},
      {"/ip4/192.0.2.1/tcp/1/p2p/" + peer + "/p2p/" + peer, "nothing known"},
      {"/ip4/192.0.2.1/tcp/1/p2p-circuit/p2p/" + peer, "before /p2p-circuit"},
      {"/ip4/192.0.2.1/tcp/1/p2p/" + peer + "/p2p-circuit/p2p-circuit", "nothing known"},
      {"/dns/" + std::string(600, 'a') + "/tcp/1", "over 512"},
  };
  for (const BadCase& bad : cases) {
    const auto address = Multiaddr::Parse(bad.text);
    ASSERT_FALSE(address.ok()) << bad.text;
    EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument) << bad.text;
    EXPECT_EQ(ReasonOf(address.status()), reason::kBadAddress) << bad.text;
    EXPECT_THAT(std::string(address.status().message()), HasSubstr(bad.says)) << bad.text;
  }
}

TEST(MultiaddrTest, ShowsHostileBytesEscaped) {
  const auto address = Multiaddr::Parse("/dns/a\nb\x1b/tcp/1");
  ASSERT_FALSE(address.ok());
  EXPECT_EQ(address.status().message().find('\n'), absl::string_view::npos);
  EXPECT_EQ(address.status().message().find('\x1b'), absl::string_view::npos);
}

}  // namespace
}  // namespace dotagent::p2p
