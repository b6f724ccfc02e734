#include "services/resolver/record_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/resolver/samples.h"

namespace dotagent::resolver_service {
namespace {

using ::testing::UnorderedElementsAre;
using State = RecordCache::State;

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);
const absl::Status kGone = absl::NotFoundError("gone");

std::shared_ptr<const Answer> AnswerOf(const record::Record& record) {
  return std::make_shared<const Answer>(
      Answer{.record = record, .owner = identity::AgentId::FromFirstKey(record.public_key())});
}

std::shared_ptr<const Answer> Signed(uint64_t key_seed, const std::string& name, absl::Time when,
                                     int64_t ttl_seconds = record::kDefaultTtlSeconds) {
  return AnswerOf(SignedRecord(KeyFromSeed(key_seed), name, when, ttl_seconds));
}

const record::Name kBob = NameOf("bob.agent");

TEST(RecordCacheTest, AnEntryIsFreshThenStaleThenGone) {
  RecordCache cache;
  const auto answer = Signed(1, "bob.agent", kStart);
  EXPECT_TRUE(cache.Insert(answer, kStart));
  const auto fresh = cache.Find(kBob, kStart + absl::Seconds(4));
  EXPECT_EQ(fresh.state, State::kFresh);
  EXPECT_EQ(fresh.answer, answer);
  EXPECT_EQ(fresh.fresh_for, absl::Seconds(1));
  const auto stale = cache.Find(kBob, kStart + absl::Seconds(5));
  EXPECT_EQ(stale.state, State::kStale);
  EXPECT_EQ(stale.answer, answer);
  EXPECT_EQ(cache.Find(kBob, kStart + absl::Seconds(10)).state, State::kMiss);
  EXPECT_EQ(cache.Find(NameOf("carol.agent"), kStart).state, State::kMiss);
}

TEST(RecordCacheTest, OnlyOneOfThoseWhoFindItStaleRenewsItUntilThatHasFailed) {
  RecordCache cache;
  cache.Insert(Signed(1, "bob.agent", kStart), kStart);
  const absl::Time stale = kStart + absl::Seconds(6);
  EXPECT_TRUE(cache.Find(kBob, stale).renew);
  EXPECT_FALSE(cache.Find(kBob, stale).renew);
  EXPECT_TRUE(cache.Find(kBob, stale + kRenewalPause).renew);
  EXPECT_FALSE(cache.Find(kBob, stale + kRenewalPause).renew);
}

TEST(RecordCacheTest, NeitherFreshNorStalePastItsTtl) {
  RecordCache cache;
  cache.Insert(Signed(1, "bob.agent", kStart, 60), kStart + absl::Seconds(53));
  EXPECT_EQ(cache.Find(kBob, kStart + absl::Seconds(57)).state, State::kFresh);
  EXPECT_EQ(cache.Find(kBob, kStart + absl::Seconds(59)).state, State::kStale);
  EXPECT_EQ(cache.Find(kBob, kStart + absl::Seconds(60)).state, State::kMiss);
}

TEST(RecordCacheTest, SeenAgainItIsFreshAgainButNotNews) {
  RecordCache cache;
  const auto answer = Signed(1, "bob.agent", kStart);
  EXPECT_TRUE(cache.Insert(answer, kStart));
  EXPECT_FALSE(cache.Insert(answer, kStart + absl::Seconds(100)));
  EXPECT_EQ(cache.Find(kBob, kStart + absl::Seconds(109)).state, State::kFresh);
  EXPECT_EQ(cache.records(), 1U);
}

TEST(RecordCacheTest, ANewerRecordReplacesAnOlderOneAndNotTheOtherWay) {
  RecordCache cache;
  const auto older = Signed(1, "bob.agent", kStart);
  const auto newer = Signed(1, "bob.agent", kStart + absl::Seconds(1));
  EXPECT_TRUE(cache.Insert(older, kStart));
  EXPECT_TRUE(cache.Insert(newer, kStart));
  EXPECT_FALSE(cache.Insert(older, kStart)) << "a straggler";
  EXPECT_EQ(cache.Find(kBob, kStart).answer, newer);
}

TEST(RecordCacheTest, AnotherHolderReplacesTheFirstWhateverTheDates) {
  RecordCache cache;
  const auto second = Signed(2, "bob.agent", kStart);
  EXPECT_TRUE(cache.Insert(Signed(1, "bob.agent", kStart + absl::Seconds(1)), kStart));
  EXPECT_TRUE(cache.Insert(second, kStart));
  EXPECT_EQ(cache.Find(kBob, kStart).answer, second);
}

TEST(RecordCacheTest, AbsenceIsBelievedLongerEachTime) {
  RecordCache cache;
  absl::Time now = kStart;
  for (const int seconds : {5, 10, 20, 30, 30}) {
    cache.InsertAbsence(kBob, kGone, now, now);
    const auto hit = cache.Find(kBob, now + absl::Seconds(seconds) - absl::Milliseconds(1));
    EXPECT_EQ(hit.state, State::kAbsent) << seconds;
    EXPECT_EQ(hit.absence, kGone);
    now += absl::Seconds(seconds);
    EXPECT_EQ(cache.Find(kBob, now).state, State::kMiss) << seconds;
  }
  now += absl::Minutes(10);
  cache.InsertAbsence(kBob, kGone, now, now);
  EXPECT_EQ(cache.Find(kBob, now + kFirstAbsence).state, State::kMiss) << "nobody asked for it in a long time";
}

TEST(RecordCacheTest, ARecordEndsAnAbsenceAndTheOtherWay) {
  RecordCache cache;
  EXPECT_FALSE(cache.InsertAbsence(kBob, kGone, kStart, kStart)) << "there was no record";
  EXPECT_TRUE(cache.Insert(Signed(1, "bob.agent", kStart), kStart));
  EXPECT_EQ(cache.Find(kBob, kStart).state, State::kFresh);
  EXPECT_EQ(cache.absences(), 0U);
  const absl::Time later = kStart + absl::Seconds(1);
  EXPECT_TRUE(cache.InsertAbsence(kBob, kGone, later, later));
  EXPECT_EQ(cache.Find(kBob, later).state, State::kAbsent);
  EXPECT_EQ(cache.records(), 0U);
}

TEST(RecordCacheTest, AnAbsenceFromBeforeTheRecordCameIsNoNews) {
  RecordCache cache;
  cache.Insert(Signed(1, "bob.agent", kStart), kStart);
  EXPECT_FALSE(cache.InsertAbsence(kBob, kGone, /*asked=*/kStart - absl::Seconds(1), kStart + absl::Seconds(1)));
  EXPECT_EQ(cache.Find(kBob, kStart + absl::Seconds(1)).state, State::kFresh);
  EXPECT_EQ(cache.absences(), 0U);
}

TEST(RecordCacheTest, TheLeastRecentlyUsedGoesFirst) {
  RecordCache cache(2);
  cache.Insert(Signed(1, "a.agent", kStart), kStart);
  cache.Insert(Signed(1, "b.agent", kStart), kStart);
  EXPECT_EQ(cache.Find(NameOf("a.agent"), kStart).state, State::kFresh);
  cache.Insert(Signed(1, "c.agent", kStart), kStart);
  EXPECT_EQ(cache.records(), 2U);
  EXPECT_EQ(cache.Find(NameOf("b.agent"), kStart).state, State::kMiss);
  EXPECT_EQ(cache.Find(NameOf("a.agent"), kStart).state, State::kFresh);
  EXPECT_EQ(cache.Find(NameOf("c.agent"), kStart).state, State::kFresh);

  cache.Insert(Signed(1, "a.agent", kStart + absl::Seconds(1)), kStart);
  cache.Insert(Signed(1, "d.agent", kStart), kStart);
  EXPECT_EQ(cache.Find(NameOf("c.agent"), kStart).state, State::kMiss) << "a.agent was written after it";
}

TEST(RecordCacheTest, AbsencesAreBoundedAndPushNoRecordOut) {
  RecordCache cache(3);
  cache.Insert(Signed(1, "bob.agent", kStart), kStart);
  for (int i = 0; i < 100; ++i) cache.InsertAbsence(NameOf(absl::StrCat("n", i, ".agent")), kGone, kStart, kStart);
  EXPECT_EQ(cache.absences(), 3U);
  EXPECT_EQ(cache.Find(kBob, kStart).state, State::kFresh);
}

TEST(RecordCacheTest, AKeysRecordsGoTogether) {
  RecordCache cache;
  cache.Insert(Signed(1, "bob.agent", kStart), kStart);
  cache.Insert(Signed(1, "work.bob.agent", kStart), kStart);
  cache.Insert(Signed(2, "carol.agent", kStart), kStart);
  const crypto::PublicKey bob = KeyFromSeed(1).public_key();
  EXPECT_THAT(cache.EvictKey(bob), UnorderedElementsAre(kBob, NameOf("work.bob.agent")));
  EXPECT_EQ(cache.Find(kBob, kStart + absl::Seconds(6)).state, State::kMiss) << "not even stale";
  EXPECT_EQ(cache.Find(NameOf("carol.agent"), kStart).state, State::kFresh);
  EXPECT_TRUE(cache.EvictKey(bob).empty());
  // The places of those that went are free again.
  EXPECT_EQ(cache.records(), 1U);
  EXPECT_TRUE(cache.Insert(Signed(1, "bob.agent", kStart), kStart));
}

TEST(RecordCacheTest, EvictedIsForgottenWhetherThereOrAbsent) {
  RecordCache cache;
  EXPECT_FALSE(cache.Evict(kBob));
  cache.InsertAbsence(kBob, kGone, kStart, kStart);
  EXPECT_FALSE(cache.Evict(kBob)) << "there was no record";
  EXPECT_EQ(cache.Find(kBob, kStart).state, State::kMiss);
  cache.Insert(Signed(1, "bob.agent", kStart), kStart);
  EXPECT_TRUE(cache.Evict(kBob));
  EXPECT_EQ(cache.Find(kBob, kStart).state, State::kMiss);
}

// For the thread sanitizer; and whatever a reader is given belongs to the name that it asked for.
TEST(RecordCacheTest, ReadersAndAWriterAtOnce) {
  constexpr int kNames = 8;
  constexpr int kRounds = 2'000;
  constexpr int kReaders = 4;
  RecordCache cache(kNames / 2);
  std::vector<std::shared_ptr<const Answer>> answers;
  for (int i = 0; i < kNames; ++i) answers.push_back(Signed(i % 2 + 1, absl::StrCat("n", i, ".agent"), kStart));

  std::atomic<bool> writing = true;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> readers;
  for (int reader = 0; reader < kReaders; ++reader) {
    readers.emplace_back([&, reader] {
      for (int i = reader; writing || i < kRounds; ++i) {
        const record::Name& name = answers[i % kNames]->record.name();
        const auto hit = cache.Find(name, kStart + absl::Seconds(i % 12));
        if (hit.answer != nullptr && hit.answer->record.name() != name) ++wrong;
        if (hit.state == State::kAbsent && hit.absence != kGone) ++wrong;
      }
    });
  }
  const crypto::PublicKey evicted = KeyFromSeed(1).public_key();
  for (int i = 0; i < kRounds; ++i) {
    const auto& answer = answers[i % kNames];
    if (i % 3 == 0) {
      cache.InsertAbsence(answer->record.name(), kGone, kStart + absl::Seconds(1), kStart + absl::Seconds(1));
    } else {
      cache.Insert(answer, kStart);
    }
    if (i % 50 == 0) static_cast<void>(cache.EvictKey(evicted));
  }
  writing = false;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(cache.records(), static_cast<size_t>(kNames / 2));
}

}  // namespace
}  // namespace dotagent::resolver_service
