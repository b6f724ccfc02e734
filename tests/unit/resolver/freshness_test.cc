#include "services/resolver/freshness.h"

#include <gtest/gtest.h>

#include "tests/unit/resolver/samples.h"

namespace dotagent::resolver_service {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

record::Record RecordAt(absl::Time when, int64_t ttl_seconds = record::kDefaultTtlSeconds) {
  return SignedRecord(KeyFromSeed(1), "bob.agent", when, ttl_seconds);
}

TEST(FreshForTest, SeenOnceATenthOfTheAgeWithinBounds) {
  const record::Record record = RecordAt(kStart);
  const auto fresh = [&](absl::Duration age) { return FreshFor(record, UpdateHistory(kStart), kStart + age); };
  EXPECT_EQ(fresh(absl::ZeroDuration()), kShortestFresh);
  EXPECT_EQ(fresh(absl::Minutes(-4)), kShortestFresh) << "dated ahead, as far as a record may be";
  EXPECT_EQ(fresh(absl::Seconds(49)), kShortestFresh);
  EXPECT_EQ(fresh(absl::Seconds(100)), absl::Seconds(10));
  EXPECT_EQ(fresh(absl::Hours(10)), kLongestFresh);
}

TEST(FreshForTest, NeverBeyondTheTtl) {
  const record::Record record = RecordAt(kStart, 60);
  const UpdateHistory history(kStart);
  EXPECT_EQ(FreshFor(record, history, kStart + absl::Seconds(57)), absl::Seconds(3));
  EXPECT_EQ(FreshFor(record, history, kStart + absl::Seconds(60)), absl::ZeroDuration());
  EXPECT_EQ(FreshFor(record, history, kStart + absl::Seconds(61)), absl::ZeroDuration());
}

TEST(FreshForTest, ARareRenewalOfAStableRecordIsNotTakenForChange) {
  UpdateHistory daily(kStart);
  for (int day = 1; day <= 3; ++day) daily.See(kStart + absl::Hours(22 * day));
  const absl::Time now = kStart + absl::Hours(66);
  const record::Record renewed_now = RecordAt(now);
  EXPECT_EQ(FreshFor(renewed_now, daily, now), kLongestFresh);
  EXPECT_EQ(FreshFor(renewed_now, UpdateHistory(now), now), kShortestFresh) << "without a history it must be";
}

TEST(FreshForTest, FrequentChangesAreAskedForOftenHoweverLongTheNameIsKnown) {
  UpdateHistory history(kStart);
  absl::Time now = kStart + absl::Hours(100);
  EXPECT_EQ(FreshFor(RecordAt(kStart, record::kMaxTtlSeconds), history, now), kLongestFresh);
  for (int minute = 0; minute < 60; ++minute) history.See(now += absl::Minutes(2));
  const absl::Duration fresh = FreshFor(RecordAt(now), history, now);
  EXPECT_GE(fresh, absl::Seconds(6));
  EXPECT_LE(fresh, absl::Seconds(18)) << "a tenth of two minutes, give or take half";
}

TEST(UpdateHistoryTest, WhatIsNotNewerIsNoChange) {
  UpdateHistory history(kStart);
  history.See(kStart);
  history.See(kStart - absl::Seconds(1));
  EXPECT_EQ(history.ExpectedInterval(kStart + absl::Seconds(10)), absl::Seconds(10));
  history.See(kStart + absl::Seconds(1));
  EXPECT_EQ(history.ExpectedInterval(kStart + absl::Seconds(10)), absl::Seconds(5));
}

TEST(StaleForTest, AsLongAgainWithinBoundsAndTheTtl) {
  const record::Record record = RecordAt(kStart, 3600);
  EXPECT_EQ(StaleFor(record, absl::Seconds(5), kStart), absl::Seconds(5));
  EXPECT_EQ(StaleFor(record, absl::Seconds(30), kStart), absl::Seconds(30));
  EXPECT_EQ(StaleFor(record, absl::Minutes(5), kStart), kLongestStale);
  EXPECT_EQ(StaleFor(record, absl::Seconds(50), kStart + absl::Seconds(3540)), absl::Seconds(10));
  EXPECT_EQ(StaleFor(record, absl::Seconds(10), kStart + absl::Seconds(3590)), absl::ZeroDuration());
}

}  // namespace
}  // namespace dotagent::resolver_service
