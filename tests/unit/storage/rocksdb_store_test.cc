// What only the store on disk does: restarts, locks, schemas, permissions, damage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "common/base/status.h"
#include "common/storage/store.h"
#include "tests/unit/storage/temp_folder.h"

namespace dotagent::storage {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::unique_ptr<Store> MustOpen(const std::string& path, uint32_t schema = 1) {
  auto store = OpenRocksDb({.path = path, .schema_version = schema});
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

TEST(RocksDbStoreTest, KeepsDataOverARestart) {
  const TempFolder folder;
  for (const Durability durability : {Durability::kSync, Durability::kBuffered}) {
    ASSERT_TRUE(MustOpen(folder.path())->Put("key", "value", durability).ok());
    EXPECT_EQ(*MustOpen(folder.path())->Get("key"), "value");
  }
}

TEST(RocksDbStoreTest, ASyncedWriteSurvivesKillNine) {
  const TempFolder folder;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto store = OpenRocksDb({.path = folder.path()});
    const bool ok = store.ok() && (*store)->Put("key", "value", Durability::kSync).ok();
    const ssize_t written = write(ready[1], ok ? "y" : "n", 1);
    if (written == 1) pause();
    _exit(1);
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  const auto second = OpenRocksDb({.path = folder.path()});  // while the other process holds it
  ASSERT_EQ(kill(child, SIGKILL), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  close(ready[0]);
  close(ready[1]);
  ASSERT_EQ(answer, 'y');

  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), AllOf(HasSubstr(folder.path()), HasSubstr("another process")));
  EXPECT_EQ(*MustOpen(folder.path())->Get("key"), "value");
}

TEST(RocksDbStoreTest, OneFolderHasOneOwner) {
  const TempFolder folder;
  const auto store = MustOpen(folder.path());
  const absl::Status status = OpenRocksDb({.path = folder.path()}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), reason::kStorage);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(folder.path()), HasSubstr("in use")));
}

TEST(RocksDbStoreTest, RefusesANewerSchema) {
  const TempFolder folder;
  ASSERT_TRUE(MustOpen(folder.path(), 7)->Put("key", "value", Durability::kSync).ok());
  const absl::Status status = OpenRocksDb({.path = folder.path(), .schema_version = 6}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), reason::kStorage);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(folder.path()), HasSubstr("schema 7"), HasSubstr("schema 6"), HasSubstr("newer release"),
                    HasSubstr("another folder")));
  EXPECT_EQ(*MustOpen(folder.path(), 7)->Get("key"), "value");
}

TEST(RocksDbStoreTest, MarksOlderDataWithItsOwnSchema) {
  const TempFolder folder;
  ASSERT_TRUE(MustOpen(folder.path(), 1)->Put("key", "value", Durability::kSync).ok());
  EXPECT_EQ(*MustOpen(folder.path(), 2)->Get("key"), "value");
  EXPECT_EQ(OpenRocksDb({.path = folder.path(), .schema_version = 1}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(RocksDbStoreTest, ADamagedSchemaIsDataLoss) {
  const TempFolder folder;
  rocksdb::DB* opened = nullptr;
  rocksdb::Options options;
  options.create_if_missing = true;
  ASSERT_TRUE(rocksdb::DB::Open(options, folder.path(), &opened).ok());
  std::unique_ptr<rocksdb::DB> db(opened);
  ASSERT_TRUE(db->Put(rocksdb::WriteOptions(), rocksdb::Slice("\0schema", 7), "one").ok());
  db.reset();
  EXPECT_EQ(OpenRocksDb({.path = folder.path()}).status().code(), absl::StatusCode::kDataLoss);
}

TEST(RocksDbStoreTest, MakesItsFolderForItsUserOnly) {
  const TempFolder folder;
  for (const char* below : {"/a/b", "/a/c/"}) {
    const std::string path = folder.path() + below;
    ASSERT_NE(MustOpen(path), nullptr);
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700U) << path;
  }
}

TEST(RocksDbStoreTest, RefusesAPathThatIsNoFolder) {
  const TempFolder folder;
  const std::string path = folder.path() + "/file";
  std::ofstream(path) << "text";
  for (const std::string& bad : {path, path + "/below"}) {
    const absl::Status status = OpenRocksDb({.path = bad}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad));
  }
  EXPECT_EQ(OpenRocksDb({}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(RocksDbStoreTest, DamagedFilesAreDataLoss) {
  const TempFolder folder;
  ASSERT_TRUE(MustOpen(folder.path())->Put("key", "value", Durability::kSync).ok());
  std::ofstream(folder.path() + "/CURRENT", std::ios::trunc) << "nonsense";
  const absl::Status status = OpenRocksDb({.path = folder.path()}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder.path()));
}

}  // namespace
}  // namespace dotagent::storage
