#include "common/storage/read_cache.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"

namespace dotagent::storage {
namespace {

Batch PutOf(const std::string& key, const std::string& value) {
  Batch batch;
  batch.Put(key, value);
  return batch;
}

void Read(ReadCache& cache, const std::string& key) { cache.AddRead(key, std::nullopt, cache.Get(key).ticket); }

void Write(ReadCache& cache, const Batch& batch, bool written = true) {
  const ReadCache::WriteTicket ticket = cache.BeginWrite(batch);
  cache.EndWrite(batch, written, ticket);
}

TEST(ReadCacheTest, RemembersWhatWasReadAndWhatWasNotThere) {
  ReadCache cache(10'000);
  EXPECT_FALSE(cache.Get("a").known);
  cache.AddRead("a", "1", cache.Get("a").ticket);
  cache.AddRead("b", std::nullopt, cache.Get("b").ticket);
  EXPECT_TRUE(cache.Get("a").known);
  EXPECT_EQ(cache.Get("a").found, "1");
  EXPECT_TRUE(cache.Get("b").known);
  EXPECT_EQ(cache.Get("b").found, std::nullopt);
}

TEST(ReadCacheTest, KnowsWhatWasWrittenToWhatItHas) {
  ReadCache cache(10'000);
  Read(cache, "a");
  Write(cache, PutOf("a", "1"));
  EXPECT_EQ(cache.Get("a").found, "1");
  Batch gone;
  gone.Delete("a");
  Write(cache, gone);
  EXPECT_FALSE(cache.Get("a").known);
  EXPECT_EQ(cache.bytes(), 0) << "what is gone takes no room";
}

TEST(ReadCacheTest, WhatNobodyReadsTakesNoRoom) {
  ReadCache cache(10'000);
  Write(cache, PutOf("a", "1"));
  EXPECT_FALSE(cache.Get("a").known);
  EXPECT_EQ(cache.bytes(), 0);
}

TEST(ReadCacheTest, OfAKeyThatABatchChangesTwiceTheLastCounts) {
  ReadCache cache(10'000);
  Read(cache, "a");
  Batch batch = PutOf("a", "1");
  batch.Put("a", "2");
  Write(cache, batch);
  EXPECT_EQ(cache.Get("a").found, "2");
  batch.Delete("a");
  Write(cache, batch);
  EXPECT_FALSE(cache.Get("a").known);
}

TEST(ReadCacheTest, ForgetsWhatAWriteThatFailedMayHaveChanged) {
  ReadCache cache(10'000);
  Read(cache, "a");
  Write(cache, PutOf("a", "1"));
  Write(cache, PutOf("a", "2"), false);
  EXPECT_FALSE(cache.Get("a").known);
}

TEST(ReadCacheTest, AReadThatAWriteCrossedDoesNotCount) {
  ReadCache cache(10'000);
  const uint64_t before = cache.Get("a").ticket;
  Read(cache, "a");
  const Batch batch = PutOf("a", "new");
  const ReadCache::WriteTicket write = cache.BeginWrite(batch);
  const uint64_t during = cache.Get("a").ticket;
  cache.AddRead("a", "old", before);
  EXPECT_FALSE(cache.Get("a").known);
  cache.AddRead("a", "old", during);
  cache.EndWrite(batch, true, write);
  EXPECT_EQ(cache.Get("a").found, "new");
  cache.AddRead("a", "old", during);
  EXPECT_EQ(cache.Get("a").found, "new");
}

TEST(ReadCacheTest, OfWritesThatOverlapNoneCounts) {
  ReadCache cache(10'000);
  const Batch first = PutOf("a", "1");
  const Batch second = PutOf("a", "2");
  Read(cache, "a");
  const ReadCache::WriteTicket ticket_of_first = cache.BeginWrite(first);
  const ReadCache::WriteTicket ticket_of_second = cache.BeginWrite(second);
  cache.EndWrite(second, true, ticket_of_second);
  cache.EndWrite(first, true, ticket_of_first);
  EXPECT_FALSE(cache.Get("a").known);
}

TEST(ReadCacheTest, IsBoundedAndKeepsWhatIsUsed) {
  ReadCache cache(10'000);
  Read(cache, "used");
  for (int i = 0; i < 1000; ++i) {
    Read(cache, absl::StrCat("key-", i));
    Write(cache, PutOf(absl::StrCat("key-", i), std::string(100, 'v')));
    EXPECT_TRUE(cache.Get("used").known);
    EXPECT_LE(cache.bytes(), 10'000);
  }
  EXPECT_TRUE(cache.Get("key-999").known);
  EXPECT_FALSE(cache.Get("key-0").known);
  Read(cache, "large");
  Write(cache, PutOf("large", std::string(20'000, 'v')));
  EXPECT_FALSE(cache.Get("large").known);
  EXPECT_EQ(cache.bytes(), 0);
}

}  // namespace
}  // namespace dotagent::storage
