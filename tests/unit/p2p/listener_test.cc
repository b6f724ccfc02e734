// What strangers do to the public port.
#include "common/p2p/listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/p2p/address_group.h"
#include "tests/unit/p2p/fixtures.h"
#include "tests/unit/p2p/stranger.h"

namespace dotagent::p2p {
namespace {

using testing::HasSubstr;

TEST(ListenerTest, GarbageIsHungUpOnAndCounted) {
  Loop loop;
  TestNode node(loop);
  int turned_away = 0;
  for (const std::string& garbage : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("\x16\x03\x01", 3),
                                     std::string(100'000, '\xff'), std::string("\0dotagent-circuit/2", 19)}) {
    Stranger stranger(node.address());
    stranger.Say(garbage);
    EXPECT_EQ(stranger.HearToTheEnd(), "");
    ++turned_away;
  }
  EXPECT_TRUE(Eventually(
      loop, [&] { return node.metrics().Render().find(Refused("first_bytes", turned_away)) != std::string::npos; }));
}

TEST(ListenerTest, AHandshakeThatIsNoneIsHungUpOnAndCounted) {
  Loop loop;
  TestNode node(loop);
  Stranger stranger(node.address());
  stranger.Say("\x13/multistream/9.9.9\n" + std::string(10'000, 'x'));
  EXPECT_TRUE(stranger.HearToTheEnd().has_value());
  EXPECT_TRUE(
      Eventually(loop, [&] { return node.metrics().Render().find(Refused("handshake", 1)) != std::string::npos; }));
  EXPECT_EQ(node.sessions(), 0U);
}

TEST(ListenerTest, WhoSaysNothingIsHungUpOn) {
  Loop loop;
  TestNode node(loop, [](NodeOptions& options) { options.handshake_timeout = absl::Milliseconds(50); });
  Stranger silent(node.address());
  EXPECT_EQ(silent.HearToTheEnd(), "");
  Stranger slow(node.address());
  slow.Say(std::string("\0dotagent", 9));
  EXPECT_EQ(slow.HearToTheEnd(), "");
  Stranger in_handshake(node.address());
  in_handshake.Say("\x13/multistream");
  EXPECT_TRUE(in_handshake.HearToTheEnd().has_value());
  EXPECT_THAT(node.metrics().Render(), HasSubstr(Refused("deadline", 2)));
}

TEST(ListenerTest, ACircuitIsRefusedWhereNobodyServesThem) {
  Loop loop;
  TestNode node(loop);
  Stranger stranger(node.address());
  stranger.Say(CircuitHeader(std::string(kVoucherSize, 'v')));
  EXPECT_EQ(stranger.HearToTheEnd(), std::string(1, kCircuitRefused));
  EXPECT_THAT(node.metrics().Render(), HasSubstr(Refused("circuit", 1)));
}

TEST(ListenerTest, ConnectionsPerAddressAreLimitedAndRoomReturns) {
  Loop loop;
  TestNode node(loop, [](NodeOptions& options) { options.max_connections_per_address = 2; });
  TestNode a(loop);
  node.ServeEcho("node");
  EXPECT_EQ(*a.Call(node.peer(), "1"), "node:1");
  auto second = std::make_unique<Stranger>(node.address());
  Stranger third(node.address());
  EXPECT_EQ(third.HearToTheEnd(), "");
  EXPECT_THAT(node.metrics().Render(), HasSubstr(Refused("address", 1)));
  EXPECT_EQ(*a.Call(node.peer(), "2"), "node:2") << "those that are in stay in";
  second->HangUp();
  TestNode b(loop);
  absl::StatusOr<std::string> answer = b.Call(node.peer(), "3");
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!answer.ok() && std::chrono::steady_clock::now() < deadline) answer = b.Call(node.peer(), "3");
  ASSERT_EQ(answer.status(), absl::OkStatus());
  EXPECT_EQ(*answer, "node:3");
}

TEST(ListenerTest, ConnectionsInAllAreLimited) {
  Loop loop;
  TestNode node(loop, [](NodeOptions& options) { options.max_connections = 1; });
  TestNode a(loop);
  TestNode b(loop);
  node.ServeEcho("node");
  EXPECT_EQ(*a.Call(node.peer(), "1"), "node:1");
  EXPECT_EQ(b.Call(node.peer(), "2").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(node.metrics().Render(), HasSubstr(Refused("connections", 1)));
  EXPECT_EQ(*a.Call(node.peer(), "3"), "node:3");
}

TEST(ConnectionLimitsTest, CountIpv6ByCustomerAndIpv4ByAddress) {
  const auto limits = std::make_shared<ConnectionLimits>(100, 1);
  const auto admit = [&](const char* address) { return limits->Admit(AddressGroup(asio::ip::make_address(address))); };
  auto v6 = admit("2001:db8:0:1::1");
  EXPECT_NE(v6.slot, nullptr);
  EXPECT_EQ(admit("2001:db8:0:1:ffff::2").refusal, ConnectionLimits::Refusal::kPerAddress);
  EXPECT_NE(admit("2001:db8:0:2::1").slot, nullptr);
  auto v4 = admit("192.0.2.1");
  EXPECT_NE(v4.slot, nullptr);
  EXPECT_EQ(admit("::ffff:192.0.2.1").refusal, ConnectionLimits::Refusal::kPerAddress);
  EXPECT_NE(admit("192.0.2.2").slot, nullptr);
  EXPECT_EQ(limits->taken(), 2U);
  v4.slot.reset();
  EXPECT_NE(admit("192.0.2.1").slot, nullptr);
}

}  // namespace
}  // namespace dotagent::p2p
