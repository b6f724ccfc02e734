#include "common/p2p/node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "tests/unit/p2p/fixtures.h"
#include "tests/unit/p2p/stranger.h"

namespace dotagent::p2p {
namespace {

using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// A port that nobody listens on.
Multiaddr DeadAddress(Loop& loop) {
  TestNode gone(loop);
  return gone.address();
}

TEST(NodeTest, TwoNodesCallEachOther) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  a.ServeEcho("a");
  b.ServeEcho("b");
  EXPECT_EQ(*a.Call(b.peer(), "hello"), "b:hello");
  // Back on the same session, although b knows no address of a.
  EXPECT_EQ(*b.Call({a.key(), {}}, "hello"), "a:hello");
  EXPECT_EQ(a.sessions(), 1U);
  EXPECT_EQ(a.PathTo(b.key()), PathKind::kDirect);
  EXPECT_EQ(a.PathTo(a.key()), std::nullopt);
}

TEST(NodeTest, TheHandlerLearnsWhoCalls) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  loop.Run([&] {
    b.node().ServeCalls("/test/who/1", 10, [](const crypto::PublicKey& peer, const std::string&, auto respond) {
      respond(std::string(peer.bytes()));
    });
  });
  EXPECT_EQ(*a.Call(b.peer(), "", "/test/who/1"), std::string(a.key().bytes()));
}

TEST(NodeTest, ConnectTellsWhoAnswersAtAnAddress) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  EXPECT_EQ(*a.Connect({std::nullopt, {b.address()}}), b.key());
  EXPECT_EQ(a.Connect({std::nullopt, {a.address()}}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(a.Connect(a.peer()).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(NodeTest, ConnectsThroughADnsName) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  Multiaddr address = b.address();
  address.kind = Multiaddr::HostKind::kDns4;
  address.host = "localhost";
  EXPECT_EQ(*a.Connect({b.key(), {address}}), b.key());
}

TEST(NodeTest, AnUnknownProtocolIsReset) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  const auto answer = a.Call(b.peer(), "hello", "/test/nobody/1");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(Message(answer.status()), HasSubstr("does not serve the protocol"));
  EXPECT_EQ(a.sessions(), 1U) << "the session outlives the stream";
}

TEST(NodeTest, AnotherKeyThanTheExpectedOneIsRefused) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  TestNode c(loop);
  b.ServeEcho("b");
  const auto answer = a.Call({c.key(), {b.address()}}, "hello");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(answer.status()), reason::kUnreachable);
  EXPECT_THAT(Message(answer.status()), HasSubstr(b.address().ToString()));
  EXPECT_EQ(a.sessions(), 0U);
  Multiaddr names_another = b.address();
  names_another.peer = c.key();
  EXPECT_THAT(Message(a.Call({b.key(), {names_another}}, "").status()), HasSubstr("another peer"));
}

TEST(NodeTest, AnErrorListsEveryAddressAndWhy) {
  Loop loop;
  TestNode a(loop);
  const Multiaddr dead = DeadAddress(loop);
  const Multiaddr dead_too = DeadAddress(loop);
  const crypto::PublicKey whom = TestNode(loop).key();
  const absl::Status status = a.Call({whom, {dead, dead_too}}, "").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  for (const Multiaddr& address : {dead, dead_too}) {
    EXPECT_THAT(Message(status), HasSubstr(address.ToString() + ": Connection refused"));
  }
  EXPECT_THAT(Message(status), HasSubstr(crypto::PeerIdFromKey(whom)));
  EXPECT_THAT(Message(a.Call({whom, {}}, "").status()), HasSubstr("no address"));
}

TEST(NodeTest, GoesOnToTheNextAddress) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  b.ServeEcho("b");
  EXPECT_EQ(*a.Call({b.key(), {DeadAddress(loop), b.address()}}, "x"), "b:x");
}

TEST(NodeTest, DialsToTheSamePeerAreOne) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  b.ServeEcho("b");
  std::vector<Outcome<absl::StatusOr<std::string>>> answers(50);
  const PeerAddress peer = b.peer();
  loop.Run([&] {
    for (auto& answer : answers) {
      a.node().Call(peer, "/test/echo/1", "x", 100, absl::Seconds(20), answer.Callback());
    }
  });
  for (auto& answer : answers) EXPECT_EQ(*answer.Wait(), "b:x");
  EXPECT_EQ(a.sessions(), 1U);
  EXPECT_EQ(b.sessions(), 1U);
  EXPECT_THAT(a.metrics().Render(), HasSubstr("dotagent_p2p_dials_total{result=\"direct\"} 1"));
}

TEST(NodeTest, ACallHasADeadline) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  std::vector<std::function<void(std::string)>> unanswered;
  loop.Run([&] {
    b.node().ServeCalls("/test/silent/1", 10,
                        [&unanswered](const crypto::PublicKey&, const std::string&, auto respond) {
                          unanswered.push_back(std::move(respond));
                        });
  });
  Outcome<absl::StatusOr<std::string>> answer;
  const PeerAddress peer = b.peer();
  loop.Run([&] { a.node().Call(peer, "/test/silent/1", "x", 10, absl::Milliseconds(100), answer.Callback()); });
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kDeadlineExceeded);
  loop.Run([&] { unanswered.clear(); });
}

TEST(NodeTest, CallsPassWhereAllOtherStreamsAreTaken) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop, [](NodeOptions& options) { options.windows.streams = options.windows.max_streams = 64; });
  std::vector<std::shared_ptr<Stream>> taken;
  loop.Run([&] { b.node().Serve("/test/hold/1", [&](std::shared_ptr<Stream> stream) { taken.push_back(stream); }); });
  b.ServeEcho("b");
  std::vector<std::shared_ptr<Stream>> held;
  for (auto stream = a.Open(b.peer(), "/test/hold/1");; stream = a.Open(b.peer(), "/test/hold/1")) {
    if (!stream.ok()) {
      EXPECT_EQ(ReasonOf(stream.status()), reason::kLimit) << stream.status();
      break;
    }
    held.push_back(*stream);
    ASSERT_LE(held.size(), 64U);
  }
  EXPECT_EQ(held.size(), 48U);
  ASSERT_TRUE(Eventually(loop, [&] { return taken.size() == 48; }));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(*a.Call(b.peer(), std::to_string(i)), "b:" + std::to_string(i));
  loop.Run([&] {
    held.clear();
    taken.clear();
  });
}

TEST(NodeTest, ARequestOverTheLimitIsReset) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  b.ServeEcho("b");
  EXPECT_EQ(a.Call(b.peer(), std::string(1025, 'x')).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(a.Call(b.peer(), std::string(1024, 'x')).status(), absl::OkStatus());
}

TEST(NodeTest, AResponseOverTheLimitIsRefused) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  b.ServeEcho("b");
  Outcome<absl::StatusOr<std::string>> answer;
  const PeerAddress peer = b.peer();
  loop.Run([&] { a.node().Call(peer, "/test/echo/1", "four", 5, absl::Seconds(20), answer.Callback()); });
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(NodeTest, APeerThatDiesFailsItsStreamsAndIsRedialled) {
  Loop loop;
  TestNode a(loop);
  auto b = std::make_unique<TestNode>(loop);
  b->ServeEcho("b");
  loop.Run([&] {
    b->node().Serve("/test/hold/1", [](std::shared_ptr<Stream> stream) {
      stream->Read(1, [stream](const absl::StatusOr<std::string>&) {});
    });
  });
  const PeerAddress peer = b->peer();
  auto stream = a.Open(peer, "/test/hold/1");
  ASSERT_TRUE(stream.ok());
  Outcome<absl::StatusOr<std::string>> read;
  loop.Run([&] { (*stream)->Read(10, read.Callback()); });
  b.reset();
  EXPECT_EQ(read.Wait().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(a.Write(*stream, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(a.sessions(), 0U);
  const absl::Status gone = a.Call(peer, "x").status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(gone), HasSubstr("Connection refused"));
}

TEST(NodeTest, RedialsAfterTheSessionEnded) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  b.ServeEcho("b");
  EXPECT_EQ(*a.Call(b.peer(), "1"), "b:1");
  loop.Run([&] { b.node().Drop(a.key(), "a test"); });
  ASSERT_TRUE(Eventually(loop, [&] { return a.node().open_sessions() == 0; }));
  EXPECT_EQ(*a.Call(b.peer(), "2"), "b:2");
}

TEST(NodeTest, DropEndsSessionsAndStreams) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  loop.Run([&] {
    b.node().Serve("/test/hold/1", [](std::shared_ptr<Stream> stream) {
      stream->Read(1, [stream](const absl::StatusOr<std::string>&) {});
    });
  });
  auto stream = a.Open(b.peer(), "/test/hold/1");
  ASSERT_TRUE(stream.ok());
  loop.Run([&] { a.node().Drop(b.key(), "its key was revoked"); });
  EXPECT_EQ(a.sessions(), 0U);
  const absl::Status status = a.Read(*stream).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status), HasSubstr("revoked"));
  EXPECT_TRUE(Eventually(loop, [&] { return b.node().open_sessions() == 0; }));
}

TEST(NodeTest, ADroppedRevokedKeyIsNotTakenInAgain) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  TestNode revoked(loop);
  a.ServeEcho("a");
  EXPECT_EQ(*revoked.Call(a.peer(), "1"), "a:1");
  const auto check = [key = revoked.key()](const crypto::PublicKey& peer) {
    return peer == key ? absl::PermissionDeniedError("its key is revoked") : absl::OkStatus();
  };
  loop.Run([&] { a.node().SetPeerCheck(check); });
  EXPECT_EQ(a.sessions(), 0U);
  ASSERT_TRUE(Eventually(loop, [&] { return revoked.node().open_sessions() == 0; }));
  EXPECT_THAT(a.metrics().Render(), HasSubstr(Refused("key", 0)));

  // It dials, and proves its key in vain.
  EXPECT_EQ(revoked.Call(a.peer(), "2").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(a.sessions(), 0U);
  EXPECT_THAT(a.metrics().Render(), HasSubstr(Refused("key", 1)));
  // It is dialled: as itself, and as whoever answers there.
  const absl::Status as_itself = a.Connect(revoked.peer()).status();
  EXPECT_EQ(as_itself.code(), absl::StatusCode::kPermissionDenied) << as_itself;
  const absl::Status as_anybody = a.Connect({std::nullopt, {revoked.address()}}).status();
  EXPECT_THAT(Message(as_anybody), HasSubstr("its key is revoked"));
  EXPECT_EQ(a.sessions(), 0U);
  EXPECT_TRUE(Eventually(loop, [&] { return revoked.node().open_sessions() == 0; }));

  EXPECT_EQ(*b.Call(a.peer(), "3"), "a:3") << "nobody else is turned away";
}

TEST(NodeTest, AnIdleSessionIsClosedAndOneInUseIsNot) {
  Loop loop;
  const auto impatient = [](NodeOptions& options) { options.idle_timeout = absl::Milliseconds(50); };
  TestNode a(loop, impatient);
  TestNode b(loop);
  TestNode c(loop);
  b.ServeEcho("b");
  loop.Run([&] {
    c.node().Serve("/test/hold/1", [](std::shared_ptr<Stream> stream) {
      stream->Read(1, [stream](const absl::StatusOr<std::string>&) {});
    });
  });
  const auto stream = a.Open(c.peer(), "/test/hold/1");
  EXPECT_EQ(*a.Call(b.peer(), "1"), "b:1");
  EXPECT_TRUE(Eventually(loop, [&] { return !a.node().PathTo(b.key()).has_value(); }));
  EXPECT_TRUE(Eventually(loop, [&] { return b.node().open_sessions() == 0; }));
  EXPECT_EQ(a.PathTo(c.key()), PathKind::kDirect);
}

TEST(NodeTest, CallbacksThatWaitGetAnAnswerWhenTheNodeCloses) {
  Loop loop;
  TestNode a(loop);
  TestNode b(loop);
  loop.Run([&] {
    b.node().Serve("/test/hold/1", [](std::shared_ptr<Stream> stream) {
      stream->Read(1, [stream](const absl::StatusOr<std::string>&) {});
    });
  });
  const auto stream = a.Open(b.peer(), "/test/hold/1");
  ASSERT_TRUE(stream.ok());
  Outcome<absl::StatusOr<std::string>> read;
  Outcome<absl::StatusOr<std::string>> call;
  Outcome<absl::StatusOr<crypto::PublicKey>> connect;
  const Multiaddr dead = DeadAddress(loop);
  const PeerAddress unreachable{std::nullopt, {dead}};
  loop.Run([&] {
    (*stream)->Read(1, read.Callback());
    a.node().Call(unreachable, "/test/echo/1", "x", 10, absl::Seconds(20), call.Callback());
    a.node().Connect(unreachable, connect.Callback());
  });
  a.Destroy();
  EXPECT_EQ(read.Wait().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(call.Wait().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(connect.Wait().status().code(), absl::StatusCode::kUnavailable);
}

TEST(NodeTest, APortInUseIsAnError) {
  Loop loop;
  TestNode a(loop);
  SystemRandom random;
  SystemClock clock;
  telemetry::Metrics metrics;
  const auto key = crypto::SigningKey::Generate(random);
  NodeOptions options{.key = &key, .random = &random, .clock = &clock, .metrics = &metrics};
  options.listen = a.address().ToString();
  const absl::Status status = loop.Run([&] { return Node(loop.executor(), options).Listen(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status), HasSubstr("Address already in use"));
  options.listen = "/dns/example.com/tcp/0";
  EXPECT_EQ(loop.Run([&] { return Node(loop.executor(), options).Listen(); }).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(NodeTest, AddressesAreTheAdvertisedOnesOrWhereItListens) {
  Loop loop;
  TestNode bound(loop);
  EXPECT_THAT(bound.address().ToString(), HasSubstr("/ip4/127.0.0.1/tcp/"));
  EXPECT_NE(bound.address().port, 0);
  TestNode told(loop, [](NodeOptions& options) { options.advertise = {"/dns/example.com/tcp/4001"}; });
  EXPECT_EQ(told.address().ToString(), "/dns/example.com/tcp/4001");
  TestNode everywhere(loop, [](NodeOptions& options) { options.listen = "/ip4/0.0.0.0/tcp/0"; });
  EXPECT_NE(everywhere.address().host, "0.0.0.0");
  bound.ServeEcho("bound");
  everywhere.ServeEcho("everywhere");
  EXPECT_EQ(*bound.Call(everywhere.peer(), "x"), "everywhere:x");
}

}  // namespace
}  // namespace dotagent::p2p
