#include "services/resolver/record_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/resolver/samples.h"

namespace dotagent::resolver_service {
namespace {

using ::testing::UnorderedElementsAre;

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

TEST(FreshForTest, ATenthOfTheAgeWithinBounds) {
  const crypto::SigningKey key = KeyFromSeed(1);
  const auto fresh = [&](absl::Duration age, int64_t ttl_seconds = record::kDefaultTtlSeconds) {
    return FreshFor(SignedRecord(key, "bob.agent", kStart, ttl_seconds), kStart + age);
  };
  EXPECT_EQ(fresh(absl::ZeroDuration()), absl::Seconds(5));
  EXPECT_EQ(fresh(absl::Minutes(-4)), absl::Seconds(5)) << "dated ahead, as far as a record may be";
  EXPECT_EQ(fresh(absl::Seconds(49)), absl::Seconds(5));
  EXPECT_EQ(fresh(absl::Seconds(100)), absl::Seconds(10));
  EXPECT_EQ(fresh(absl::Hours(10)), absl::Minutes(5));
}

TEST(FreshForTest, NeverBeyondTheTtl) {
  const record::Record record = SignedRecord(KeyFromSeed(1), "bob.agent", kStart, 60);
  EXPECT_EQ(FreshFor(record, kStart + absl::Seconds(57)), absl::Seconds(3));
  EXPECT_EQ(FreshFor(record, kStart + absl::Seconds(60)), absl::ZeroDuration());
  EXPECT_EQ(FreshFor(record, kStart + absl::Seconds(61)), absl::ZeroDuration());
}

TEST(RecordCacheTest, AnEntryIsFoundWhileItIsFresh) {
  RecordCache cache;
  const record::Record record = SignedRecord(KeyFromSeed(1), "bob.agent", kStart);
  EXPECT_TRUE(cache.Insert(record, kStart));
  const record::Record* found = cache.Find(record.name(), kStart + absl::Seconds(4.9));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->json(), record.json());
  EXPECT_EQ(cache.Find(record.name(), kStart + absl::Seconds(5)), nullptr);
  EXPECT_EQ(cache.Find(NameOf("carol.agent"), kStart), nullptr);
}

TEST(RecordCacheTest, SeenAgainItIsFreshAgainButNotNews) {
  RecordCache cache;
  const record::Record record = SignedRecord(KeyFromSeed(1), "bob.agent", kStart);
  EXPECT_TRUE(cache.Insert(record, kStart));
  EXPECT_FALSE(cache.Insert(record, kStart + absl::Seconds(100)));
  EXPECT_NE(cache.Find(record.name(), kStart + absl::Seconds(109)), nullptr);
  EXPECT_EQ(cache.size(), 1U);
}

TEST(RecordCacheTest, ANewerRecordReplacesAnOlderOneAndNotTheOtherWay) {
  RecordCache cache;
  const crypto::SigningKey key = KeyFromSeed(1);
  const record::Record older = SignedRecord(key, "bob.agent", kStart);
  const record::Record newer = SignedRecord(key, "bob.agent", kStart + absl::Seconds(1));
  EXPECT_TRUE(cache.Insert(older, kStart));
  EXPECT_TRUE(cache.Insert(newer, kStart));
  EXPECT_FALSE(cache.Insert(older, kStart)) << "a straggler";
  EXPECT_EQ(cache.Find(newer.name(), kStart)->json(), newer.json());
}

TEST(RecordCacheTest, AnotherHolderReplacesTheFirstWhateverTheDates) {
  RecordCache cache;
  const record::Record first = SignedRecord(KeyFromSeed(1), "bob.agent", kStart + absl::Seconds(1));
  const record::Record second = SignedRecord(KeyFromSeed(2), "bob.agent", kStart);
  EXPECT_TRUE(cache.Insert(first, kStart));
  EXPECT_TRUE(cache.Insert(second, kStart));
  EXPECT_EQ(cache.Find(first.name(), kStart)->json(), second.json());
}

TEST(RecordCacheTest, TheLeastRecentlyUsedGoesFirst) {
  RecordCache cache(2);
  const crypto::SigningKey key = KeyFromSeed(1);
  static_cast<void>(cache.Insert(SignedRecord(key, "a.agent", kStart), kStart));
  static_cast<void>(cache.Insert(SignedRecord(key, "b.agent", kStart), kStart));
  EXPECT_NE(cache.Find(NameOf("a.agent"), kStart), nullptr);
  static_cast<void>(cache.Insert(SignedRecord(key, "c.agent", kStart), kStart));
  EXPECT_EQ(cache.size(), 2U);
  EXPECT_EQ(cache.Find(NameOf("b.agent"), kStart), nullptr);
  EXPECT_NE(cache.Find(NameOf("a.agent"), kStart), nullptr);
  EXPECT_NE(cache.Find(NameOf("c.agent"), kStart), nullptr);

  static_cast<void>(cache.Insert(SignedRecord(key, "a.agent", kStart + absl::Seconds(1)), kStart));
  static_cast<void>(cache.Insert(SignedRecord(key, "d.agent", kStart), kStart));
  EXPECT_EQ(cache.Find(NameOf("c.agent"), kStart), nullptr) << "a.agent was written after it";
}

TEST(RecordCacheTest, AKeysRecordsGoTogether) {
  RecordCache cache;
  const crypto::SigningKey bob = KeyFromSeed(1);
  const crypto::SigningKey carol = KeyFromSeed(2);
  static_cast<void>(cache.Insert(SignedRecord(bob, "bob.agent", kStart), kStart));
  static_cast<void>(cache.Insert(SignedRecord(bob, "work.bob.agent", kStart), kStart));
  static_cast<void>(cache.Insert(SignedRecord(carol, "carol.agent", kStart), kStart));
  EXPECT_THAT(cache.EvictKey(bob.public_key()), UnorderedElementsAre(NameOf("bob.agent"), NameOf("work.bob.agent")));
  EXPECT_EQ(cache.Find(NameOf("bob.agent"), kStart), nullptr);
  EXPECT_NE(cache.Find(NameOf("carol.agent"), kStart), nullptr);
  EXPECT_TRUE(cache.EvictKey(bob.public_key()).empty());
  // The places of those that went are free again.
  EXPECT_EQ(cache.size(), 1U);
  EXPECT_TRUE(cache.Insert(SignedRecord(bob, "bob.agent", kStart), kStart));
}

}  // namespace
}  // namespace dotagent::resolver_service
