#include "common/session/scheduler.h"

#include <gtest/gtest.h>

#include <map>

#include "common/base/random.h"

namespace dotagent::session {
namespace {

constexpr size_t kFrame = 16 * 1024;

// Bytes that each stream gets out of `frames` frames when all of them always have more.
std::map<StreamId, size_t> Saturate(Scheduler& scheduler, int frames, size_t frame = kFrame) {
  std::map<StreamId, size_t> sent;
  for (int i = 0; i < frames; ++i) {
    const StreamId id = *scheduler.Next();
    scheduler.Charge(id, frame);
    sent[id] += frame;
  }
  return sent;
}

TEST(SchedulerTest, NobodyWaits) {
  Scheduler scheduler;
  EXPECT_EQ(scheduler.Next(), std::nullopt);
  scheduler.Add(4, Priority::kLow);
  scheduler.Remove(4);
  scheduler.Remove(4);
  scheduler.Charge(4, 10);
  scheduler.SetPriority(4, Priority::kHigh);
  EXPECT_EQ(scheduler.Next(), std::nullopt);
  EXPECT_TRUE(scheduler.empty());
}

TEST(SchedulerTest, EveryLevelGetsItsFloor) {
  Scheduler scheduler;
  for (StreamId level = 0; level < kPriorities; ++level) scheduler.Add(level, static_cast<Priority>(level));
  const auto sent = Saturate(scheduler, 29 * 100);
  for (size_t level = 0; level < kPriorities; ++level)
    EXPECT_EQ(sent.at(level), static_cast<size_t>(Scheduler::kWeights[level]) * 100 * kFrame) << level;
}

TEST(SchedulerTest, FramesThatDoNotFitAShareEvenOut) {
  Scheduler scheduler;
  scheduler.Add(0, Priority::kCritical);
  scheduler.Add(3, Priority::kLow);
  const auto sent = Saturate(scheduler, 20'000, 10'007);
  EXPECT_NEAR(static_cast<double>(sent.at(0)) / static_cast<double>(sent.at(3)), 16.0, 0.1);
}

TEST(SchedulerTest, UrgentGoesNextWhileLowSaturates) {
  Scheduler scheduler;
  scheduler.Add(3, Priority::kLow);
  SeededRandom random(1);
  for (int i = 0; i < 1000; ++i) {
    Saturate(scheduler, 1 + static_cast<int>(random.Below(5)));
    scheduler.Add(0, Priority::kCritical);
    ASSERT_EQ(scheduler.Next(), 0U) << i;
    scheduler.Charge(0, 500);
    scheduler.Remove(0);
  }
}

// A level that empties and fills again must not win a new share each time.
TEST(SchedulerTest, ComingAndGoingDoesNotStarveOthers) {
  Scheduler scheduler;
  scheduler.Add(3, Priority::kLow);
  size_t low = 0;
  for (int i = 0; i < 1700; ++i) {
    scheduler.Add(0, Priority::kCritical);
    const StreamId id = *scheduler.Next();
    scheduler.Charge(id, kFrame);
    low += id == 3 ? 1 : 0;
    scheduler.Remove(0);
  }
  EXPECT_EQ(low, 100U);
}

TEST(SchedulerTest, StreamsOfALevelTakeTurnsByBytes) {
  Scheduler scheduler;
  for (StreamId id = 0; id < 8; ++id) scheduler.Add(id, Priority::kNormal);
  std::map<StreamId, size_t> sent;
  for (int i = 0; i < 100'000; ++i) {
    const StreamId id = *scheduler.Next();
    const size_t frame = id % 2 == 0 ? 100 : 16'000;  // some write little at a time
    scheduler.Charge(id, frame);
    sent[id] += frame;
  }
  for (StreamId id = 1; id < 8; ++id)
    EXPECT_NEAR(static_cast<double>(sent[id]), static_cast<double>(sent[0]), 2.0 * kFrame) << id;
}

TEST(SchedulerTest, PriorityCanChange) {
  Scheduler scheduler;
  scheduler.Add(0, Priority::kLow);
  scheduler.Add(4, Priority::kNormal);
  EXPECT_EQ(scheduler.Next(), 4U);
  scheduler.SetPriority(0, Priority::kHigh);
  EXPECT_EQ(scheduler.Next(), 0U);
  scheduler.Remove(0);
  EXPECT_EQ(scheduler.Next(), 4U);
}

}  // namespace
}  // namespace dotagent::session
