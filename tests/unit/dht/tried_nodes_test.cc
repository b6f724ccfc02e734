#include "common/dht/tried_nodes.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace dotagent::dht {
namespace {

class TriedNodesTest : public testing::Test {
 protected:
  Id RandomId() { return *Id::FromBytes(random_.Bytes(kIdBits / 8)); }

  SeededRandom random_{1};
};

TEST_F(TriedNodesTest, OnceInAWhile) {
  TriedNodes tried(10, absl::Minutes(1));
  const Id a = RandomId();
  const Id b = RandomId();
  EXPECT_TRUE(tried.Insert(a, absl::ZeroDuration()));
  EXPECT_FALSE(tried.Insert(a, absl::Seconds(59)));
  EXPECT_TRUE(tried.Insert(b, absl::Seconds(59)));
  EXPECT_TRUE(tried.Insert(a, absl::Seconds(60))) << "a minute after it was tried, not after it was refused";
  EXPECT_FALSE(tried.Insert(b, absl::Seconds(60)));
}

TEST_F(TriedNodesTest, StrangersWithoutEndTakeNoMoreRoom) {
  TriedNodes tried(100, absl::Minutes(1));
  const Id first = RandomId();
  EXPECT_TRUE(tried.Insert(first, absl::ZeroDuration()));
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(tried.Insert(RandomId(), absl::ZeroDuration()));
  EXPECT_EQ(tried.size(), 100);
  EXPECT_TRUE(tried.Insert(first, absl::ZeroDuration())) << "the oldest made room";
}

TEST_F(TriedNodesTest, WhatIsOverIsForgotten) {
  TriedNodes tried(100, absl::Minutes(1));
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(tried.Insert(RandomId(), absl::ZeroDuration()));
  EXPECT_TRUE(tried.Insert(RandomId(), absl::Minutes(1)));
  EXPECT_EQ(tried.size(), 1);
}

}  // namespace
}  // namespace dotagent::dht
