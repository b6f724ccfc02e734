// When a wait may look for its event before it sleeps.
#include "common/rpc/adaptive_spin.h"

#include <gtest/gtest.h>

namespace dotagent::rpc {
namespace {

constexpr absl::Duration kLimit = absl::Milliseconds(2);

absl::Time At(int milliseconds) { return absl::UnixEpoch() + absl::Milliseconds(milliseconds); }

TEST(AdaptiveSpinTest, TheFirstWaitSleeps) {
  AdaptiveSpin spin(kLimit);
  EXPECT_EQ(spin.Until(), absl::InfinitePast());
  spin.Begin(At(0));
  EXPECT_EQ(spin.Until(), absl::InfinitePast());
}

TEST(AdaptiveSpinTest, AWaitLooksIfTheLastOneWasShort) {
  AdaptiveSpin spin(kLimit);
  spin.Begin(At(0));
  spin.End(At(2));
  spin.Begin(At(10));
  EXPECT_EQ(spin.Until(), At(12));
}

TEST(AdaptiveSpinTest, AfterALongWaitTheNextOneSleepsAndTellsWhetherItIsWorthIt) {
  AdaptiveSpin spin(kLimit);
  spin.Begin(At(0));
  spin.End(At(1));
  spin.Begin(At(1));
  spin.End(At(4));
  spin.Begin(At(4));
  EXPECT_EQ(spin.Until(), absl::InfinitePast());
  spin.End(At(5));
  spin.Begin(At(5));
  EXPECT_EQ(spin.Until(), At(7));
}

TEST(AdaptiveSpinTest, WithoutALimitAllSleep) {
  AdaptiveSpin spin(absl::ZeroDuration());
  spin.Begin(At(0));
  spin.End(At(0));
  spin.Begin(At(0));
  EXPECT_LE(spin.Until(), At(0));
}

}  // namespace
}  // namespace dotagent::rpc
