// Who of several threads is to work.
#include "common/rpc/duty_roster.h"

#include <gtest/gtest.h>

namespace dotagent::rpc {
namespace {

absl::Time At(int milliseconds) { return absl::UnixEpoch() + absl::Milliseconds(milliseconds); }

TEST(DutyRosterTest, OneIsEnoughAtFirst) {
  DutyRoster roster;
  EXPECT_TRUE(roster.NeedsAnother(At(0)));
  roster.Begin();
  roster.Wait();
  EXPECT_FALSE(roster.NeedsAnother(At(0)));
  EXPECT_FALSE(roster.NeedsAnother(At(1'000'000))) << "one that waits is not away";
}

TEST(DutyRosterTest, OneThatHardlySleepsCallsAnother) {
  DutyRoster roster;
  roster.Begin();
  EXPECT_TRUE(roster.Stays(0.89));
  EXPECT_FALSE(roster.NeedsAnother(At(0)));
  EXPECT_TRUE(roster.Stays(0.9));
  EXPECT_TRUE(roster.NeedsAnother(At(0)));
  roster.Begin();
  EXPECT_FALSE(roster.NeedsAnother(At(0))) << "one more, not all";
}

TEST(DutyRosterTest, OneOfSeveralThatHasLittleToDoLeaves) {
  DutyRoster roster;
  roster.Begin();
  EXPECT_TRUE(roster.Stays(0.95));
  roster.Begin();
  EXPECT_TRUE(roster.Stays(0.3));
  EXPECT_FALSE(roster.Stays(0.2));
  roster.End();
  EXPECT_FALSE(roster.NeedsAnother(At(0)));
  EXPECT_TRUE(roster.Stays(0)) << "the last one stays";
  EXPECT_EQ(roster.on_duty(), 1U);
}

TEST(DutyRosterTest, WhenAllHaveBeenAwayForLongAnotherStepsIn) {
  DutyRoster roster;
  roster.Begin();
  roster.Wait();
  roster.Work(At(1000));
  EXPECT_FALSE(roster.NeedsAnother(At(1099)));
  EXPECT_TRUE(roster.NeedsAnother(At(1100)));
  roster.Begin();
  roster.Wait();
  EXPECT_FALSE(roster.NeedsAnother(At(2000)));
}

TEST(DutyRosterTest, WhenTheLastOneLeavesItsPlaceIsFree) {
  DutyRoster roster;
  roster.Begin();
  roster.End();
  EXPECT_TRUE(roster.NeedsAnother(At(0)));
}

}  // namespace
}  // namespace dotagent::rpc
