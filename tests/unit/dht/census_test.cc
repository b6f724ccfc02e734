#include "common/dht/census.h"

#include <gtest/gtest.h>

#include <optional>

#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr absl::Duration kNow = absl::Seconds(1);

// The table of node `self`, with nodes 0 to `count` - 1 but for itself.
RoutingTable TableOf(uint64_t self, uint64_t count) {
  RoutingTable table(ContactFromSeed(self).id);
  for (uint64_t seed = 0; seed < count; ++seed) EXPECT_FALSE(table.Seen(ContactFromSeed(seed), kNow).has_value());
  return table;
}

TEST(CensusTest, IsTheSameOfThoseWhoKnowTheSameNodes) {
  const RoutingTable a = TableOf(0, 20);
  const RoutingTable b = TableOf(1, 20);
  const RoutingTable clients = TableOf(99, 20);
  const RoutingTable fewer = TableOf(2, 19);
  Census of_a(&a, ContactFromSeed(0).id);
  ASSERT_TRUE(of_a.Digest().has_value());
  EXPECT_EQ(of_a.Digest(), Census(&b, ContactFromSeed(1).id).Digest());
  EXPECT_EQ(of_a.Digest(), Census(&clients, std::nullopt).Digest());
  EXPECT_NE(of_a.Digest(), Census(&fewer, ContactFromSeed(2).id).Digest());
}

TEST(CensusTest, FollowsTheTable) {
  RoutingTable table = TableOf(0, 20);
  Census census(&table, ContactFromSeed(0).id);
  const std::optional<Id> before = census.Digest();
  const Contact silent = ContactFromSeed(5);

  EXPECT_TRUE(table.Failed(silent.id));
  EXPECT_NE(census.Digest(), before);  // a node whose last call failed is not passed on
  EXPECT_FALSE(table.Seen(silent, kNow).has_value());
  EXPECT_EQ(census.Digest(), before);
  table.Evict(silent.id);
  EXPECT_NE(census.Digest(), before);
  EXPECT_FALSE(table.Seen(silent, kNow).has_value());
  EXPECT_EQ(census.Digest(), before);
  EXPECT_FALSE(table.Seen(ContactFromSeed(20), kNow).has_value());
  EXPECT_NE(census.Digest(), before);
}

TEST(CensusTest, IsOfNoMoreNodesThanAnAnswerLists) {
  RoutingTable table = TableOf(0, kMaxAnswerNodes + 1);
  ASSERT_EQ(table.size(), kMaxAnswerNodes);
  Census census(&table, ContactFromSeed(0).id);
  EXPECT_TRUE(census.Digest().has_value());
  EXPECT_FALSE(table.Seen(ContactFromSeed(kMaxAnswerNodes + 1), kNow).has_value());
  EXPECT_EQ(census.Digest(), std::nullopt);
}

}  // namespace
}  // namespace dotagent::dht
