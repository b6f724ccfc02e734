#include "common/dht/testing/event_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "common/base/random.h"

namespace dotagent::dht {
namespace {

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
constexpr int64_t kSecond = 1'000'000'000;

// One that only has a name.
class Named : public Event {
 public:
  void Run() override {}
};

class EventQueueTest : public testing::Test {
 protected:
  void Push(int64_t at, uint32_t source, uint32_t number) { queue_.Push({at, source, number, &event_}); }
  std::pair<uint32_t, uint32_t> Pop(int64_t limit = kEnd) {
    const auto entry = queue_.Pop(limit);
    return entry ? std::make_pair(entry->source, entry->number) : kNone;
  }

  static constexpr std::pair<uint32_t, uint32_t> kNone = {99, 99};
  Named event_;
  EventQueue queue_;
};

TEST_F(EventQueueTest, ComesOutByTimeThenBySourceThenByItsCount) {
  Push(5, 2, 7);
  Push(5, 1, 9);
  Push(3, 3, 0);
  Push(4000 * kSecond, 0, 0);
  Push(5, 1, 8);
  EXPECT_EQ(queue_.size(), 5U);
  EXPECT_EQ(queue_.Earliest(), 3);
  EXPECT_EQ(Pop(), std::make_pair(3U, 0U));
  EXPECT_EQ(Pop(), std::make_pair(1U, 8U));
  EXPECT_EQ(Pop(), std::make_pair(1U, 9U));
  EXPECT_EQ(Pop(), std::make_pair(2U, 7U));
  const auto last = queue_.Pop(kEnd);
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->event, &event_);
  EXPECT_EQ(last->at, 4000 * kSecond);
  EXPECT_EQ(Pop(), kNone);
  EXPECT_EQ(queue_.Earliest(), std::nullopt);
}

TEST_F(EventQueueTest, StopsAtTheLimitAndStillTakesEarlierEvents) {
  Push(3600 * kSecond, 0, 1);
  EXPECT_EQ(Pop(3600 * kSecond - 1), kNone);
  Push(2 * kSecond, 0, 2);
  Push(3000 * kSecond, 0, 3);
  EXPECT_EQ(Pop().second, 2U);
  EXPECT_EQ(Pop().second, 3U);
  EXPECT_EQ(Pop(3600 * kSecond).second, 1U);
}

// Against a sorted list: pushes between pops, delays from nothing to hours.
TEST_F(EventQueueTest, AgreesWithASortedList) {
  SeededRandom random(7);
  std::vector<std::tuple<int64_t, uint32_t, uint32_t>> expected;
  int64_t now = 0;
  uint32_t pushed = 0;
  for (int step = 0; step < 50'000; ++step) {
    if (random.Below(100) < 55 || expected.empty()) {
      constexpr int64_t kReach[] = {1, kSecond / 1000, kSecond, 10 * kSecond, 7200 * kSecond};
      const int64_t at = now + static_cast<int64_t>(random.Below(static_cast<uint64_t>(kReach[random.Below(5)])));
      const auto entry = std::make_tuple(at, static_cast<uint32_t>(random.Below(5)), pushed++);
      expected.insert(std::upper_bound(expected.begin(), expected.end(), entry, std::greater<>()), entry);
      Push(at, std::get<1>(entry), std::get<2>(entry));
      continue;
    }
    const auto popped = queue_.Pop(kEnd);
    ASSERT_TRUE(popped.has_value());
    ASSERT_EQ(std::make_tuple(popped->at, popped->source, popped->number), expected.back());
    expected.pop_back();
    now = popped->at;
  }
  EXPECT_EQ(queue_.size(), expected.size());
}

}  // namespace
}  // namespace dotagent::dht
