#include "common/abuse/token_bucket.h"

#include <gtest/gtest.h>

namespace dotagent::abuse {
namespace {

constexpr absl::Duration kStart = absl::Hours(5);

TEST(TokenBucketTest, GivesItsBurstAndThenItsRate) {
  const Rate rate{.per_second = 2, .burst = 3};
  TokenBucket bucket(3, kStart);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bucket.Take(rate, 1, kStart), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(rate, 1, kStart), absl::Milliseconds(500));
  EXPECT_EQ(bucket.Take(rate, 1, kStart + absl::Milliseconds(400)), absl::Milliseconds(100));
  EXPECT_EQ(bucket.Take(rate, 1, kStart + absl::Milliseconds(500)), absl::ZeroDuration());
  // What was refused took nothing; what is saved up ends at the burst.
  const absl::Duration later = kStart + absl::Hours(1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bucket.Take(rate, 1, later), absl::ZeroDuration());
  EXPECT_GT(bucket.Take(rate, 1, later), absl::ZeroDuration());
}

TEST(TokenBucketTest, WhatCostsMoreThanTheBurstTakesAllOfIt) {
  const Rate rate{.per_second = 1, .burst = 5};
  TokenBucket bucket(5, kStart);
  EXPECT_EQ(bucket.Take(rate, 50, kStart), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(rate, 50, kStart), absl::Seconds(5));
}

TEST(TokenBucketTest, TimeThatGoesBackGivesNothing) {
  const Rate rate{.per_second = 1, .burst = 1};
  TokenBucket bucket(1, kStart);
  EXPECT_EQ(bucket.Take(rate, 1, kStart), absl::ZeroDuration());
  EXPECT_GT(bucket.Take(rate, 1, kStart - absl::Hours(1)), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(rate, 1, kStart + absl::Seconds(1)), absl::ZeroDuration());
}

TEST(TokenBucketTest, NoRateIsNoLimit) {
  TokenBucket bucket(0, kStart);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(bucket.Take({.per_second = 0}, 1, kStart), absl::ZeroDuration());
}

}  // namespace
}  // namespace dotagent::abuse
