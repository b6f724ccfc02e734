// A session whose other end vanishes without a word, in a network of its own that is switched off under it.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "common/p2p/loop.h"
#include "tests/unit/network/own_network.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::p2p {
namespace {

// Some 20 s is what tcp_dial.h promises; the rest is for a machine that is busy.
constexpr std::chrono::seconds kBound{25};

void ExpectBothEndsNotice() {
  ASSERT_TRUE(SetLoopback(true));
  Loop loop;
  TestNode idle(loop);
  TestNode busy(loop);
  TestNode reader(loop);
  idle.ServeEcho("idle");
  std::shared_ptr<Stream> held;
  Outcome<absl::StatusOr<std::string>> far_read;
  loop.Run([&] {
    idle.node().Serve("/test/hold/1", [&](std::shared_ptr<Stream> stream) {
      held = std::move(stream);
      held->Read(1, far_read.Callback());
    });
  });
  ASSERT_EQ(*busy.Call(idle.peer(), "before"), "idle:before");
  const PeerAddress peer = idle.peer();
  auto stream = reader.Open(peer, "/test/hold/1");
  ASSERT_EQ(stream.status(), absl::OkStatus());
  ASSERT_TRUE(Eventually(loop, [&] { return held != nullptr; }));
  Outcome<absl::StatusOr<std::string>> near_read;
  loop.Run([&] { (*stream)->Read(1, near_read.Callback()); });

  ASSERT_TRUE(SetLoopback(false));
  const auto cut = std::chrono::steady_clock::now();
  // One waits for an answer that never comes, and longer than the bound; the others for nothing, with a read of a
  // stream that is open. No reset, no end of the stream reaches any of them.
  Outcome<absl::StatusOr<std::string>> call;
  loop.Run([&] { busy.node().Call(peer, "/test/echo/1", "into the void", 100, absl::Minutes(1), call.Callback()); });
  for (auto* waiting : {&near_read, &far_read, &call}) {
    EXPECT_EQ(waiting->Wait().status().code(), absl::StatusCode::kUnavailable);
    EXPECT_LE(std::chrono::steady_clock::now() - cut, kBound);
  }
  for (TestNode* node : {&busy, &reader, &idle}) {
    EXPECT_TRUE(Eventually(loop, [&] { return node->node().open_sessions() == 0; }));
  }
  EXPECT_LE(std::chrono::steady_clock::now() - cut, kBound);
  ASSERT_TRUE(SetLoopback(true));
  EXPECT_EQ(*busy.Call(peer, "after"), "idle:after");
  loop.Run([&] {
    held = nullptr;
    stream = absl::UnavailableError("done with");
  });
}

TEST(HalfOpenTest, BothEndsNoticeAndTheSessionIsMadeAnew) {
  if (!InOwnNetwork(ExpectBothEndsNotice)) GTEST_SKIP() << "a network of its own needs root";
}

}  // namespace
}  // namespace dotagent::p2p
