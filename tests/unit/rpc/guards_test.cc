#include <gtest/gtest.h>

#include <array>

#include "common/rpc/flood_counters.h"
#include "common/rpc/hpack_guard.h"
#include "common/rpc/reset_guard.h"

namespace dotagent::rpc {
namespace {

TEST(GuardsTest, StandWhereGrpcCallsThem) {
  EXPECT_TRUE(CheckHpackGuard().ok()) << CheckHpackGuard();
  EXPECT_TRUE(CheckResetGuard().ok()) << CheckResetGuard();
}

TEST(FloodCountersTest, EachWindowHasItsAllowance) {
  FloodCounters counters(100);
  const int connection = 0;
  for (const uint32_t window : {7U, 8U, 0xFFFFFFFFU, 0U}) {
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(counters.Allow(&connection, window));
    for (int i = 0; i < 100; ++i) EXPECT_FALSE(counters.Allow(&connection, window));
  }
}

TEST(FloodCountersTest, ANewConnectionStartsAfresh) {
  FloodCounters counters(1);
  const int connection = 0;
  EXPECT_TRUE(counters.Allow(&connection, 1));
  EXPECT_FALSE(counters.Allow(&connection, 1));
  counters.Forget(&connection);
  EXPECT_TRUE(counters.Allow(&connection, 1));
}

TEST(FloodCountersTest, ConnectionsHaveCountersOfTheirOwn) {
  FloodCounters counters(1);
  const std::array<std::array<char, 4096>, 8> connections{};
  for (const auto& connection : connections) EXPECT_TRUE(counters.Allow(&connection, 1));
  for (const auto& connection : connections) EXPECT_FALSE(counters.Allow(&connection, 1));
}

}  // namespace
}  // namespace dotagent::rpc
