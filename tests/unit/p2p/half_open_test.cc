// A session whose other end vanishes without a word, in a network of its own that is switched off under it.
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "common/p2p/loop.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::p2p {
namespace {

bool SetLoopback(bool up) {
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  bool done = ioctl(any, SIOCGIFFLAGS, &request) == 0;
  request.ifr_flags = static_cast<int16_t>(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
  done = done && ioctl(any, SIOCSIFFLAGS, &request) == 0;
  close(any);
  return done;
}

// Takes some 20 s: what tcp_dial.h promises.
void ExpectBothEndsNotice() {
  ASSERT_TRUE(SetLoopback(true));
  Loop loop;
  TestNode idle(loop);
  TestNode busy(loop);
  idle.ServeEcho("idle");
  ASSERT_EQ(*busy.Call(idle.peer(), "before"), "idle:before");
  ASSERT_EQ(busy.sessions(), 1U);
  ASSERT_TRUE(SetLoopback(false));
  // One waits for an answer that never comes, the other for nothing; no reset, no end of the stream reaches either.
  EXPECT_FALSE(busy.Call(idle.peer(), "into the void").ok());
  EXPECT_TRUE(Eventually(loop, [&] { return busy.node().open_sessions() == 0; }));
  EXPECT_TRUE(Eventually(loop, [&] { return idle.node().open_sessions() == 0; }));
  ASSERT_TRUE(SetLoopback(true));
  EXPECT_EQ(*busy.Call(idle.peer(), "after"), "idle:after");
}

TEST(HalfOpenTest, BothEndsNoticeAndTheSessionIsMadeAnew) {
  bool own_network = false;
  // A namespace is its thread's, and of the threads that it starts.
  std::thread([&] {
    own_network = unshare(CLONE_NEWNET) == 0;
    if (own_network) ExpectBothEndsNotice();
  }).join();
  if (!own_network) GTEST_SKIP() << "a network of its own needs root";
}

}  // namespace
}  // namespace dotagent::p2p
