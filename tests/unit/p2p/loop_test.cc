// Who runs on the loop, when, and that nobody runs beside somebody else.
#include "common/p2p/loop.h"

#include <gtest/gtest.h>

#include <asio/steady_timer.hpp>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace dotagent::p2p {
namespace {

TEST(LoopTest, WhoEntersAnIdleLoopRunsThereAtOnce) {
  Loop loop;
  loop.Run([] {});  // its thread is up, and waits
  // The loop's thread may still be on its way out of what it ran, so not necessarily the first.
  std::thread::id ran;
  while (ran != std::this_thread::get_id()) {
    absl::Notification done;
    loop.Enter([&] {
      ran = std::this_thread::get_id();
      done.Notify();
    });
    done.WaitForNotification();
  }
}

TEST(LoopTest, WhoEntersABusyLoopDoesNotWait) {
  Loop loop;
  absl::Notification begun;
  absl::Notification go_on;
  loop.Post([&] {
    begun.Notify();
    go_on.WaitForNotification();
  });
  begun.WaitForNotification();
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) loop.Enter([&order, i] { order.push_back(i); });  // returns
  go_on.Notify();
  // Behind them, though the loop may be free when this is called: one thread's work keeps its order.
  absl::Notification last;
  loop.Enter([&] {
    order.push_back(3);
    last.Notify();
  });
  last.WaitForNotification();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
}

TEST(LoopTest, NothingRunsBesideAnythingElse) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2'000;
  Loop loop;
  asio::steady_timer timer(loop.executor());
  int count = 0;  // no atomic: two at it at a time would lose some, and the thread sanitizer says so
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  std::atomic<int> left = kThreads * kRounds * 3;
  absl::Notification all;
  const std::function<void()> work = [&] {
    most = std::max(most.load(), ++inside);
    ++count;
    --inside;
    if (--left == 0) all.Notify();
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        loop.Enter(work);
        loop.Post(work);
        loop.Post([&] {
          // What Asio completes comes to the loop, too.
          auto once = std::make_shared<asio::steady_timer>(loop.executor(), std::chrono::seconds(0));
          once->async_wait([once, &work](std::error_code) { work(); });
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  all.WaitForNotification();
  EXPECT_EQ(loop.Run([&] { return count; }), kThreads * kRounds * 3);
  EXPECT_EQ(most, 1);
}

TEST(LoopTest, WhatRunsOnTheLoopMayPostAndEnter) {
  Loop loop;
  bool inside = true;
  int ran_behind = 0;
  absl::Notification left;
  loop.Enter([&] {
    const auto behind = [&] { ran_behind += inside ? 0 : 1; };
    loop.Post(behind);
    loop.Enter(behind);
    inside = false;
    left.Notify();
  });
  left.WaitForNotification();
  EXPECT_EQ(loop.Run([&] { return ran_behind; }), 2) << "neither runs inside";
}

TEST(LoopTest, NothingRunsOnceItHasStopped) {
  auto loop = std::make_unique<Loop>();
  std::atomic<bool> ran = false;
  const auto held = std::make_shared<int>(0);
  loop->Stop();
  loop->Enter([&ran, held] { ran = true; });
  loop->Post([&ran, held] { ran = true; });
  EXPECT_EQ(held.use_count(), 3) << "kept, so that it ends where the loop ends";
  loop.reset();
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_FALSE(ran);
}

TEST(LoopTest, StopWaitsForWhoHasEntered) {
  Loop loop;
  absl::Notification inside;
  absl::Notification go_on;
  absl::Notification stopped;
  std::thread visitor([&] {
    loop.Enter([&] {
      inside.Notify();
      go_on.WaitForNotification();
    });
  });
  inside.WaitForNotification();
  std::thread stopper([&] {
    loop.Stop();
    stopped.Notify();
  });
  EXPECT_FALSE(stopped.WaitForNotificationWithTimeout(absl::Milliseconds(200)));
  go_on.Notify();
  stopped.WaitForNotification();
  visitor.join();
  stopper.join();
}

}  // namespace
}  // namespace dotagent::p2p
