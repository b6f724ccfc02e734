#include "common/rpc/reset_guard.h"

#include <gtest/gtest.h>

namespace dotagent::rpc {
namespace {

TEST(ResetGuardTest, IsInPlace) { EXPECT_TRUE(CheckResetGuard().ok()) << CheckResetGuard(); }

TEST(ResetGuardTest, EachSecondHasItsAllowance) {
  ResetCounter counter;
  for (uint32_t i = 0; i < ResetCounter::kPerSecond; ++i) EXPECT_TRUE(counter.Allow(7));
  EXPECT_FALSE(counter.Allow(7));
  EXPECT_FALSE(counter.Allow(7));
  for (uint32_t i = 0; i < ResetCounter::kPerSecond; ++i) EXPECT_TRUE(counter.Allow(8));
  EXPECT_FALSE(counter.Allow(8));
}

}  // namespace
}  // namespace dotagent::rpc
