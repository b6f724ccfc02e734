#include "common/base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string>

namespace dotagent {
namespace {

TEST(RandomTest, ASeedRepeatsAndSeedsDiffer) {
  SeededRandom a(1);
  SeededRandom b(1);
  SeededRandom c(2);
  const std::string bytes = a.Bytes(100);
  EXPECT_EQ(b.Bytes(100), bytes);
  EXPECT_NE(c.Bytes(100), bytes);
}

TEST(RandomTest, TheSystemsBytesFillAndDiffer) {
  SystemRandom random;
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) seen.insert(random.Bytes(16));
  EXPECT_EQ(seen.size(), 100U);
  EXPECT_EQ(random.Bytes(0), "");
  EXPECT_EQ(random.Bytes(1'000'000).size(), 1'000'000U);
}

TEST(RandomTest, BelowIsUniform) {
  SeededRandom random(3);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts[random.Below(counts.size())];
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);
  EXPECT_EQ(random.Below(1), 0U);
}

}  // namespace
}  // namespace dotagent
