#include "common/base/clock.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"

namespace dotagent {
namespace {

TEST(ClockTest, TheSystemsClockTellsTheTimeAndNeverRunsBack) {
  const SystemClock clock{};
  const absl::Time before = absl::Now();
  const absl::Time now = clock.Now();
  EXPECT_GE(now, before);
  EXPECT_LE(now, absl::Now());
  absl::Duration last = clock.Elapsed();
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration next = clock.Elapsed();
    ASSERT_GE(next, last);
    last = next;
  }
}

TEST(ClockTest, ASimulatedClockStandsStillUntilMoved) {
  const absl::Time start = absl::FromUnixSeconds(1'800'000'000);
  SimulatedClock clock(start);
  EXPECT_EQ(clock.Now(), start);
  EXPECT_EQ(clock.Elapsed(), absl::ZeroDuration());
  clock.Advance(absl::Minutes(3));
  clock.Advance(absl::Milliseconds(1));
  EXPECT_EQ(clock.Now(), start + absl::Minutes(3) + absl::Milliseconds(1));
  EXPECT_EQ(clock.Elapsed(), absl::Minutes(3) + absl::Milliseconds(1));
}

}  // namespace
}  // namespace dotagent
