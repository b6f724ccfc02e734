#include "common/dht/testing/event_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

#include "common/base/random.h"

namespace dotagent::dht {
namespace {

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
constexpr int64_t kSecond = 1'000'000'000;

TEST(EventQueueTest, ComesOutByTimeThenByOrder) {
  EventQueue queue;
  queue.Push(5, 0, 1);
  queue.Push(3, 0, 2);
  queue.Push(5, 0, 3);
  queue.Push(4000 * kSecond, 7, 4);
  EXPECT_EQ(queue.size(), 4U);
  EXPECT_EQ(queue.Pop(kEnd)->index, 2U);
  EXPECT_EQ(queue.Pop(kEnd)->index, 1U);
  EXPECT_EQ(queue.Pop(kEnd)->index, 3U);
  const auto last = queue.Pop(kEnd);
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->kind, 7U);
  EXPECT_EQ(last->at, 4000 * kSecond);
  EXPECT_EQ(queue.Pop(kEnd), std::nullopt);
}

TEST(EventQueueTest, StopsAtTheLimitAndStillTakesEarlierEvents) {
  EventQueue queue;
  queue.Push(3600 * kSecond, 0, 1);
  EXPECT_EQ(queue.Pop(3600 * kSecond - 1), std::nullopt);
  queue.Push(2 * kSecond, 0, 2);
  queue.Push(3000 * kSecond, 0, 3);
  EXPECT_EQ(queue.Pop(kEnd)->index, 2U);
  EXPECT_EQ(queue.Pop(kEnd)->index, 3U);
  EXPECT_EQ(queue.Pop(3600 * kSecond)->index, 1U);
}

// Against a sorted list: pushes between pops, delays from nothing to hours.
TEST(EventQueueTest, AgreesWithASortedList) {
  EventQueue queue;
  SeededRandom random(7);
  std::vector<std::tuple<int64_t, uint32_t>> expected;
  int64_t now = 0;
  uint32_t pushed = 0;
  for (int step = 0; step < 50'000; ++step) {
    if (random.Below(100) < 55 || expected.empty()) {
      constexpr int64_t kReach[] = {1, kSecond / 1000, kSecond, 10 * kSecond, 7200 * kSecond};
      const int64_t at = now + static_cast<int64_t>(random.Below(static_cast<uint64_t>(kReach[random.Below(5)])));
      expected.insert(std::upper_bound(expected.begin(), expected.end(), std::make_tuple(at, pushed), std::greater<>()),
                      {at, pushed});
      queue.Push(at, 0, pushed++);
      continue;
    }
    const auto event = queue.Pop(kEnd);
    ASSERT_TRUE(event.has_value());
    ASSERT_EQ(std::make_tuple(event->at, event->index), expected.back());
    expected.pop_back();
    now = event->at;
  }
  EXPECT_EQ(queue.size(), expected.size());
}

}  // namespace
}  // namespace dotagent::dht
