#include "common/storage/group_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/unit/storage/held_store.h"

namespace dotagent::storage {
namespace {

using testing::ElementsAre;

Batch Put(const std::string& key, const std::string& value = "value") {
  Batch batch;
  batch.Put(key, value);
  return batch;
}

class GroupWriterTest : public testing::Test {
 protected:
  GroupWriterTest() { Open({}); }

  void Open(const GroupWriterLimits& limits) {
    writer_ = std::make_unique<GroupWriter>(
        store_, [this](auto work) { Post(std::move(work)); }, limits);
  }
  [[nodiscard]] absl::Status Write(const std::string& key, Durability durability = Durability::kSync) {
    return writer_->Write(Put(key), durability, [this, key](const absl::Status& written) {
      ended_.push_back(absl::StrCat(key, written.ok() ? "" : " failed"));
    });
  }

  void Post(std::function<void()> work) {
    const Lock lock(mutex_);
    posted_.push_back(std::move(work));
    changed_.notify_all();
  }
  // What a loop does: runs what is posted, and waits for it.
  void RunOne() {
    std::function<void()> work;
    {
      const Lock lock(mutex_);
      while (posted_.empty()) changed_.wait(mutex_);
      work = std::move(posted_.front());
      posted_.erase(posted_.begin());
    }
    work();
  }

  Mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<std::function<void()>> posted_ ABSL_GUARDED_BY(mutex_);
  HeldStore store_;
  std::vector<std::string> ended_;
  std::unique_ptr<GroupWriter> writer_;
};

TEST_F(GroupWriterTest, CallsBackOnTheOwnersThreadOnceTheStoreHasIt) {
  store_.Hold();
  ASSERT_TRUE(Write("a").ok());
  store_.AwaitWrites(1);
  EXPECT_EQ(writer_->waiting(), 1u);
  store_.Release();
  RunOne();
  EXPECT_THAT(ended_, ElementsAre("a"));
  EXPECT_EQ(writer_->waiting(), 0u);
  EXPECT_EQ(*store_.Get("a"), "value");
}

TEST_F(GroupWriterTest, WhatComesWhileTheDiskIsBusySharesTheNextSync) {
  store_.Hold();
  ASSERT_TRUE(Write("a").ok());
  store_.AwaitWrites(1);
  for (const char* key : {"b", "c", "d"}) {
    ASSERT_TRUE(Write(key, key[0] == 'c' ? Durability::kSync : Durability::kBuffered).ok());
  }
  store_.Release();
  EXPECT_TRUE(writer_->Flush());
  EXPECT_THAT(ended_, ElementsAre("a", "b", "c", "d"));
  const auto writes = store_.writes();
  ASSERT_EQ(writes.size(), 2u);
  EXPECT_EQ(writes[1].changes, 3u);
  EXPECT_EQ(writes[1].durability, Durability::kSync);
  EXPECT_EQ(writer_->groups(), 2u);
  EXPECT_FALSE(writer_->Flush());
}

TEST_F(GroupWriterTest, WhatNeedNotBeSyncedIsNot) {
  ASSERT_TRUE(Write("a", Durability::kBuffered).ok());
  writer_->Flush();
  EXPECT_EQ(store_.writes().at(0).durability, Durability::kBuffered);
}

TEST_F(GroupWriterTest, TheLastWriteOfAKeyHolds) {
  store_.Hold();
  ASSERT_TRUE(Write("first").ok());
  store_.AwaitWrites(1);
  ASSERT_TRUE(Write("a").ok());
  Batch gone;
  gone.Delete("a");
  ASSERT_TRUE(writer_->Write(std::move(gone), Durability::kBuffered, [](const auto&) {}).ok());
  store_.Release();
  writer_->Flush();
  EXPECT_TRUE(absl::IsNotFound(store_.Get("a").status()));
}

TEST_F(GroupWriterTest, AFailureIsThatOfAllThatWereWrittenTogether) {
  store_.Hold();
  ASSERT_TRUE(Write("a").ok());
  store_.AwaitWrites(1);
  ASSERT_TRUE(Write("b").ok());
  ASSERT_TRUE(Write("c").ok());
  store_.FailWith(absl::UnavailableError("full"));
  store_.Release();
  writer_->Flush();
  EXPECT_THAT(ended_, ElementsAre("a failed", "b failed", "c failed"));
  store_.FailWith(absl::OkStatus());
  ASSERT_TRUE(Write("d").ok());
  writer_->Flush();
  EXPECT_EQ(ended_.back(), "d");
}

TEST_F(GroupWriterTest, RefusesWhenTooMuchWaitsButTakesWhatIsBufferedLonger) {
  Open({.max_waiting = 2});
  store_.Hold();
  ASSERT_TRUE(Write("a").ok());
  ASSERT_TRUE(Write("b").ok());
  const absl::Status third = Write("c");
  EXPECT_TRUE(absl::IsResourceExhausted(third));
  EXPECT_EQ(ReasonOf(third), reason::kLimit);
  ASSERT_TRUE(Write("d", Durability::kBuffered).ok());
  ASSERT_TRUE(Write("e", Durability::kBuffered).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Write("f", Durability::kBuffered)));
  store_.Release();
  writer_->Flush();
  EXPECT_THAT(ended_, ElementsAre("a", "b", "d", "e"));
  EXPECT_TRUE(Write("g").ok());
}

TEST_F(GroupWriterTest, RefusesWhenTooManyBytesWaitAndSplitsLargeGroups) {
  Open({.max_waiting_bytes = 2'500, .max_group_bytes = 1'000});
  store_.Hold();
  const auto write = [&](const std::string& key, size_t size) {
    return writer_->Write(Put(key, std::string(size, 'x')), Durability::kSync, [](const auto&) {});
  };
  ASSERT_TRUE(write("a", 10).ok());
  store_.AwaitWrites(1);
  ASSERT_TRUE(write("b", 800).ok());
  ASSERT_TRUE(write("c", 800).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(write("d", 800)));
  store_.Release();
  writer_->Flush();
  EXPECT_EQ(store_.writes().size(), 3u);
}

TEST_F(GroupWriterTest, ItsEndWritesWhatWaitsAndCallsNobody) {
  store_.Hold();
  ASSERT_TRUE(Write("a").ok());
  store_.AwaitWrites(1);
  ASSERT_TRUE(Write("b").ok());
  store_.Release();
  writer_.reset();
  RunOne();
  EXPECT_TRUE(ended_.empty());
  EXPECT_TRUE(store_.Get("b").ok());
}

TEST_F(GroupWriterTest, WhoIsCalledBackMayWriteAgain) {
  ASSERT_TRUE(writer_->Write(Put("a"), Durability::kSync, [this](const auto&) { EXPECT_TRUE(Write("b").ok()); }).ok());
  EXPECT_TRUE(writer_->Flush());
  EXPECT_TRUE(writer_->Flush());
  EXPECT_THAT(ended_, ElementsAre("b"));
}

}  // namespace
}  // namespace dotagent::storage
