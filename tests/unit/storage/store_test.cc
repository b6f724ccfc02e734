// The contract of Store, on both implementations.
#include "common/storage/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "common/base/status.h"
#include "tests/unit/storage/temp_folder.h"

namespace dotagent::storage {
namespace {

using testing::ElementsAre;

enum class Kind { kMemory, kRocksDb };

class StoreTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kMemory) {
      store_ = NewMemoryStore();
      return;
    }
    auto store = OpenRocksDb({.path = folder_.path()});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  void Put(absl::string_view key, absl::string_view value) {
    ASSERT_TRUE(store_->Put(key, value, Durability::kBuffered).ok());
  }

  std::vector<std::string> Keys(absl::string_view prefix, absl::string_view from = "", size_t limit = 1000) {
    std::vector<std::string> keys;
    const absl::Status status = store_->Scan(prefix, from, [&](absl::string_view key, absl::string_view) {
      keys.emplace_back(key);
      return keys.size() < limit;
    });
    EXPECT_TRUE(status.ok()) << status;
    return keys;
  }

  TempFolder folder_;
  std::unique_ptr<Store> store_;
};

TEST_P(StoreTest, ReadsBackWhatWasWritten) {
  const std::string bytes("\0\xff\n binary", 10);
  Put("key", bytes);
  EXPECT_EQ(*store_->Get("key"), bytes);
  Put("key", "");
  EXPECT_EQ(*store_->Get("key"), "");
}

TEST_P(StoreTest, AMissingKeyIsNotFound) { EXPECT_EQ(store_->Get("key").status().code(), absl::StatusCode::kNotFound); }

TEST_P(StoreTest, ABatchAppliesInOrder) {
  Put("gone", "1");
  Batch batch;
  batch.Put("a", "1");
  batch.Put("a", "2");
  batch.Delete("gone");
  batch.Put("b", "1");
  batch.Delete("b");
  ASSERT_TRUE(store_->Write(batch, Durability::kSync).ok());
  EXPECT_EQ(*store_->Get("a"), "2");
  EXPECT_THAT(Keys(""), ElementsAre("a"));
}

TEST_P(StoreTest, AnEmptyBatchAndADeletionOfNothingSucceed) {
  EXPECT_TRUE(store_->Write(Batch(), Durability::kSync).ok());
  Batch batch;
  batch.Delete("never there");
  EXPECT_TRUE(store_->Write(batch, Durability::kSync).ok());
}

TEST_P(StoreTest, ScansOneTableInOrder) {
  for (const char* key : {"u/1", "t/2", "t/10", "t", "t/1", "s/9"}) Put(key, "x");
  EXPECT_THAT(Keys("t/"), ElementsAre("t/1", "t/10", "t/2"));
  EXPECT_THAT(Keys("t/", "t/10"), ElementsAre("t/10", "t/2"));
  EXPECT_THAT(Keys("t/", "t/11"), ElementsAre("t/2"));
  EXPECT_THAT(Keys("t/", "a"), ElementsAre("t/1", "t/10", "t/2"));
  EXPECT_THAT(Keys("t/", "u/"), ElementsAre());
  EXPECT_THAT(Keys("t/", "", 2), ElementsAre("t/1", "t/10"));
}

TEST_P(StoreTest, ScansAPrefixOfHighBytes) {
  for (const char* key : {"\xff", "\xff\xff", "\xff\xff\x01", "\xfe"}) Put(key, "x");
  EXPECT_THAT(Keys("\xff\xff"), ElementsAre("\xff\xff", "\xff\xff\x01"));
}

TEST_P(StoreTest, AScanSeesOneSnapshotAndMayWrite) {
  Put("t/1", "old");
  Put("t/2", "old");
  std::vector<std::string> seen;
  ASSERT_TRUE(store_
                  ->Scan("t/", "",
                         [&](absl::string_view key, absl::string_view value) {
                           seen.push_back(std::string(key) + "=" + std::string(value));
                           Put("t/2", "new");
                           Put("t/3", "new");
                           return true;
                         })
                  .ok());
  EXPECT_THAT(seen, ElementsAre("t/1=old", "t/2=old"));
  EXPECT_EQ(*store_->Get("t/2"), "new");
}

TEST_P(StoreTest, ReservedKeysAreRefusedAndHidden) {
  Batch batch;
  batch.Put("fine", "1");
  batch.Delete(absl::string_view("\0schema", 7));
  const absl::Status status = store_->Write(batch, Durability::kSync);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), reason::kStorage);
  EXPECT_THAT(Keys(""), ElementsAre());
}

TEST_P(StoreTest, ThreadsDoNotTearBatches) {
  Put("t/a", "0");
  Put("t/b", "0");
  std::thread writer([&] {
    for (int i = 1; i <= 500; ++i) {
      Batch batch;
      batch.Put("t/a", std::to_string(i));
      batch.Put("t/b", std::to_string(i));
      ASSERT_TRUE(store_->Write(batch, Durability::kBuffered).ok());
    }
  });
  for (int i = 0; i < 500; ++i) {
    std::vector<std::string> values;
    ASSERT_TRUE(store_
                    ->Scan("t/", "",
                           [&](absl::string_view, absl::string_view value) {
                             values.emplace_back(value);
                             return true;
                           })
                    .ok());
    ASSERT_EQ(values.size(), 2U);
    EXPECT_EQ(values[0], values[1]);
  }
  writer.join();
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreTest, testing::Values(Kind::kMemory, Kind::kRocksDb),
                         [](const auto& kind) { return kind.param == Kind::kMemory ? "Memory" : "RocksDb"; });

}  // namespace
}  // namespace dotagent::storage
