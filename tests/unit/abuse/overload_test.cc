#include "common/abuse/overload.h"

#include <gtest/gtest.h>

namespace dotagent::abuse {
namespace {

constexpr absl::Duration kTarget = absl::Milliseconds(50);

class OverloadTest : public testing::Test {
 protected:
  // Work begins every 10 ms, and has waited for `wait`.
  void Run(absl::Duration wait, absl::Duration time) {
    for (const absl::Duration end = now_ + time; now_ < end; now_ += absl::Milliseconds(10)) {
      overload_.SawWait(wait, now_);
    }
  }
  [[nodiscard]] Priority Lowest() { return overload_.Lowest(now_); }

  Overload overload_{kTarget};
  absl::Duration now_ = absl::Hours(1);
};

TEST_F(OverloadTest, ShedsWhatMattersLeastFirst) {
  Run(kTarget, absl::Seconds(1));
  EXPECT_EQ(Lowest(), Priority::kLow);
  Run(kTarget * 1.1, absl::Milliseconds(200));
  EXPECT_EQ(Lowest(), Priority::kNormal) << "low is refused";
  Run(kTarget * 4.1, absl::Milliseconds(200));
  EXPECT_EQ(Lowest(), Priority::kHigh);
  Run(kTarget * 1000, absl::Seconds(10));
  EXPECT_EQ(Lowest(), Priority::kCritical) << "which is never refused";
}

TEST_F(OverloadTest, ABurstThatIsOverWithinTheIntervalShedsNothing) {
  for (int i = 0; i < 100; ++i) {
    Run(kTarget * 3, absl::Milliseconds(80));
    Run(kTarget / 2, absl::Milliseconds(20));
    ASSERT_EQ(Lowest(), Priority::kLow) << i;
  }
}

TEST_F(OverloadTest, AFewLateCallsAreNoQueue) {
  for (int i = 0; i < 100; ++i) {
    for (int call = 0; call < kOverloadCalls - 1; ++call) overload_.SawWait(kTarget * 100, now_);
    now_ += kOverloadInterval;
    ASSERT_EQ(Lowest(), Priority::kLow) << i;
  }
}

TEST_F(OverloadTest, LetsOneLevelInWithEachBetterInterval) {
  Run(kTarget * 100, absl::Seconds(1));
  EXPECT_EQ(Lowest(), Priority::kCritical);
  Run(absl::ZeroDuration(), absl::Milliseconds(100));
  EXPECT_EQ(Lowest(), Priority::kHigh);
  Run(absl::ZeroDuration(), absl::Milliseconds(100));
  EXPECT_EQ(Lowest(), Priority::kNormal);
  Run(absl::ZeroDuration(), absl::Milliseconds(100));
  EXPECT_EQ(Lowest(), Priority::kLow);
}

TEST_F(OverloadTest, ForgetsWhatWasBeforeAPause) {
  Run(kTarget * 100, absl::Seconds(1));
  EXPECT_EQ(Lowest(), Priority::kCritical);
  now_ += kOverloadInterval;
  EXPECT_EQ(Lowest(), Priority::kHigh);
  now_ += absl::Seconds(1);
  EXPECT_EQ(Lowest(), Priority::kLow);
}

TEST_F(OverloadTest, TheDisksBacklogCountsToo) {
  overload_.SawBacklog(0.5);
  EXPECT_EQ(Lowest(), Priority::kLow);
  overload_.SawBacklog(0.51);
  EXPECT_EQ(Lowest(), Priority::kNormal);
  overload_.SawBacklog(0.8);
  EXPECT_EQ(Lowest(), Priority::kHigh);
  overload_.SawBacklog(1);
  EXPECT_EQ(Lowest(), Priority::kCritical);
  overload_.SawBacklog(0.1);
  EXPECT_EQ(Lowest(), Priority::kLow);
}

TEST_F(OverloadTest, ATargetOfZeroIsNone) {
  Overload overload(absl::ZeroDuration());
  for (int i = 0; i < 100; ++i) overload.SawWait(absl::Seconds(10), now_ + i * absl::Milliseconds(10));
  EXPECT_EQ(overload.Lowest(now_ + absl::Seconds(1)), Priority::kLow);
}

}  // namespace
}  // namespace dotagent::abuse
