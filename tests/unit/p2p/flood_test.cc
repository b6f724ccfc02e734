// A node's public port when more come than it has time for, and those that come and do not go on; on loopback sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/p2p/handshake_queue.h"
#include "common/p2p/tcp_dial.h"
#include "common/session/multistream.h"
#include "common/session/session.h"
#include "tests/unit/p2p/fixtures.h"
#include "tests/unit/p2p/stranger.h"

namespace dotagent::p2p {
namespace {

using testing::HasSubstr;

// All that a dialler says before it is answered.
std::string Opening(bool offers_work = false) {
  session::Multistream multistream(session::Role::kDialler, "/noise");
  if (offers_work) multistream.OfferWork();
  return multistream.Start() + std::string("\0\x20", 2) + std::string(32, 'k');
}

bool Shows(Loop& loop, TestNode& node, const std::string& line) {
  return Eventually(loop, [&] { return node.metrics().Render().find(line) != std::string::npos; });
}

TEST(FloodTest, AnAddressThatConnectsTooOftenIsHungUpOn) {
  Loop loop;
  SimulatedClock clock(absl::UnixEpoch());
  TestNode node(loop, [&](NodeOptions& options) {
    options.clock = &clock;
    options.newcomers.connections_per_second = 1;
    options.newcomers.connection_burst = 2;
  });
  Stranger first(node.address());
  Stranger second(node.address());
  Stranger third(node.address());
  EXPECT_EQ(third.HearToTheEnd(), "");
  EXPECT_TRUE(Shows(loop, node, Refused("rate", 1)));
  clock.Advance(absl::Seconds(1));
  Stranger fourth(node.address());
  fourth.Say(Opening());
  EXPECT_THAT(fourth.Hear(100), HasSubstr("/noise"));
  EXPECT_TRUE(Shows(loop, node, Refused("rate", 1)));
}

TEST(FloodTest, WhoIsGoneBeforeItsTurnTakesNoPlace) {
  Loop loop;
  TestNode node(loop, [](NodeOptions& options) { options.newcomers.max_handshakes = 1; });
  node.ServeEcho("node");
  const Multiaddr address = node.address();
  loop.Run([&] {  // so that the node does not look before they are gone
    for (int i = 0; i < 3; ++i) {
      Stranger stranger(address);
      stranger.Say(Opening());
      stranger.Break();
    }
  });
  EXPECT_TRUE(Shows(loop, node, Refused("gone", 3)));
  EXPECT_TRUE(Shows(loop, node, Refused("handshakes", 0)));
  EXPECT_TRUE(Shows(loop, node, Refused("evicted", 0)));
  TestNode dialler(loop);
  EXPECT_EQ(*dialler.Call(node.peer(), "hello"), "node:hello");
}

TEST(FloodTest, SilentOnesMakeRoomWhereverTheyStopped) {
  Loop loop;
  SimulatedClock clock(absl::UnixEpoch());
  TestNode node(loop, [&](NodeOptions& options) {
    options.clock = &clock;
    options.newcomers.max_handshakes = 3;
  });
  node.ServeEcho("node");
  Stranger says_nothing(node.address());
  Stranger begins(node.address());
  begins.Say("\x13/multi");
  Stranger never_ends(node.address());
  never_ends.Say(Opening());
  EXPECT_THAT(never_ends.Hear(100), HasSubstr("/noise"));  // and its answer; the third message never comes
  Stranger too_many(node.address());
  EXPECT_EQ(too_many.HearToTheEnd(), "") << "nobody has been silent for long";
  EXPECT_TRUE(Shows(loop, node, Refused("handshakes", 1)));

  clock.Advance(HandshakeQueue::kGrace);
  std::vector<std::unique_ptr<Stranger>> next;
  for (Stranger* const silent : {&says_nothing, &begins, &never_ends}) {
    next.push_back(std::make_unique<Stranger>(node.address()));
    EXPECT_TRUE(silent->HearToTheEnd().has_value());
  }
  EXPECT_TRUE(Shows(loop, node, Refused("evicted", 3)));
  clock.Advance(HandshakeQueue::kGrace);
  TestNode dialler(loop);
  EXPECT_EQ(*dialler.Call(node.peer(), "hello"), "node:hello");
}

TEST(FloodTest, SlowOnesEndAtTheirDeadline) {
  Loop loop;
  TestNode node(loop, [](NodeOptions& options) { options.handshake_timeout = absl::Milliseconds(300); });
  Stranger at_the_gate(node.address());
  at_the_gate.Say(Opening().substr(0, 40));
  EXPECT_THAT(at_the_gate.HearToTheEnd(), testing::Optional(HasSubstr("/noise")));
  Stranger after_it(node.address());
  after_it.Say(Opening());
  EXPECT_TRUE(after_it.HearToTheEnd().has_value());
  EXPECT_TRUE(Shows(loop, node, Refused("handshake", 2)));
  EXPECT_TRUE(Shows(loop, node, "dotagent_p2p_handshakes_waiting 0\n"));
}

TEST(FloodTest, WhoHasTheHandshakeBehindItAndThenSaysNothingIsIdle) {
  Loop loop;
  TestNode node(loop, [](NodeOptions& options) { options.idle_timeout = absl::Milliseconds(50); });
  Stranger stranger(node.address());
  SystemRandom random;
  const auto key = crypto::SigningKey::Generate(random);
  session::Options options;
  options.identity = &key;
  options.random = &random;
  session::Session session(options, absl::Now());
  stranger.Say(session.TakeOutput(4096, absl::Now()));
  while (!session.established()) ASSERT_EQ(session.Receive(stranger.Hear(1), absl::Now()), absl::OkStatus());
  stranger.Say(session.TakeOutput(4096, absl::Now()));
  EXPECT_TRUE(Shows(loop, node, "dotagent_p2p_sessions 1\n"));
  EXPECT_TRUE(stranger.HearToTheEnd().has_value());
  EXPECT_TRUE(Shows(loop, node, "dotagent_p2p_sessions 0\n"));
}

// What ends a connection whose other end is gone without a word, which a test on one machine cannot make.
void ExpectLookedFor(int descriptor) {
  const auto option = [&](int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    EXPECT_EQ(getsockopt(descriptor, level, name, &value, &size), 0);
    return value;
  };
  EXPECT_EQ(option(IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 10);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPINTVL), 3);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPCNT), 3);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_USER_TIMEOUT), 20'000);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_NOTSENT_LOWAT), kMaxUnsent);
}

TEST(FloodTest, HalfOpenConnectionsAreLookedForByTheSystem) {
  asio::io_context io;
  asio::ip::tcp::socket dialled(io, asio::ip::tcp::v4());
  TuneTcp(dialled);
  ExpectLookedFor(dialled.native_handle());
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  TuneTcp(acceptor);
  dialled.connect(acceptor.local_endpoint());
  asio::ip::tcp::socket accepted = acceptor.accept();
  ExpectLookedFor(accepted.native_handle());
}

// A node whose share is used up by the first handshake already, and not there again for 10 ms or more.
std::unique_ptr<TestNode> MakeBusy(Loop& loop, int bits) {
  return std::make_unique<TestNode>(loop, [bits](NodeOptions& options) {
    options.newcomers.share = 0.01;
    options.newcomers.share_burst = absl::Microseconds(200);
    options.newcomers.min_cookie_bits = bits;
    options.newcomers.max_cookie_bits = bits;
  });
}

TEST(FloodTest, NodesPayAndAreLetIn) {
  Loop loop;
  const auto node = MakeBusy(loop, 8);
  node->ServeEcho("node");
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::string metrics;
  while (std::chrono::steady_clock::now() < deadline) {
    TestNode dialler(loop);
    const auto answer = dialler.Call(node->peer(), "hello");
    ASSERT_EQ(answer.status(), absl::OkStatus());
    ASSERT_EQ(*answer, "node:hello");
    metrics = node->metrics().Render();
    if (metrics.find("dotagent_p2p_admitted_total{lane=\"paid\"} 1\n") != std::string::npos) break;
  }
  EXPECT_THAT(metrics, HasSubstr("dotagent_p2p_cookies_total{result=\"paid\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("dotagent_p2p_cookie_bits 8\n"));
}

TEST(FloodTest, StockDiallersWaitAndAreLetInToo) {
  Loop loop;
  const auto node = MakeBusy(loop, 8);
  node->ServeEcho("node");
  for (int i = 0; i < 5; ++i) {
    TestNode stock(loop, [](NodeOptions& options) { options.newcomers.max_cookie_bits = 0; });
    const auto answer = stock.Call(node->peer(), "hello");
    ASSERT_EQ(answer.status(), absl::OkStatus());
  }
  EXPECT_THAT(node->metrics().Render(), HasSubstr("dotagent_p2p_cookies_total{result=\"paid\"} 0\n"));
  EXPECT_THAT(node->metrics().Render(), HasSubstr("dotagent_p2p_admitted_total{lane=\"unpaid\"} 5\n"));
}

TEST(FloodTest, WorkBeyondWhatADiallerIsReadyForIsRefusedWithTheReason) {
  Loop loop;
  const auto node = MakeBusy(loop, 12);
  node->ServeEcho("node");
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  absl::Status refused;
  while (refused.ok() && std::chrono::steady_clock::now() < deadline) {
    TestNode dialler(loop, [](NodeOptions& options) { options.newcomers.max_cookie_bits = 11; });
    refused = dialler.Call(node->peer(), "hello").status();
  }
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("asks for 12 bits of work"));
  EXPECT_TRUE(Shows(loop, *node, "dotagent_p2p_cookies_total{result=\"unpaid\"} 1\n"));
}

TEST(FloodTest, AForgedProofIsHungUpOnAndCounted) {
  Loop loop;
  const auto node = MakeBusy(loop, 8);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    Stranger stranger(node->address());
    stranger.Say(Opening(/*offers_work=*/true));
    // Asked for work or answered, which is both longer.
    const std::string heard = stranger.Hear(44);
    if (heard.find("/dotagent/cookie/1.0.0") == std::string::npos) continue;
    stranger.Say("\x21" + std::string(33, 'x'));
    EXPECT_TRUE(stranger.HearToTheEnd().has_value());
    break;
  }
  EXPECT_TRUE(Shows(loop, *node, "dotagent_p2p_cookies_total{result=\"forged\"} 1\n"));
}

}  // namespace
}  // namespace dotagent::p2p
