// Full and read-only disks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/storage/store.h"
#include "tests/unit/storage/small_disk.h"

namespace dotagent::storage {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DiskTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CanMount()) GTEST_SKIP() << "a small disk takes root and mount namespaces";
  }
};

void ExpectFull(const absl::Status& status, const std::string& path) {
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(ReasonOf(status), reason::kStorage);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(path), HasSubstr("full"), HasSubstr("free some space")));
}

TEST_F(DiskTest, AFullDiskFailsTheWriteAndTheStoreGoesOnWithSpace) {
  const std::string disk = SmallDisk("48m");
  if (disk.empty()) return;
  const std::string path = disk + "/data";
  auto store = OpenRocksDb({.path = path});
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE((*store)->Put("before", "kept", Durability::kSync).ok());

  Fill(disk + "/ballast");
  ExpectFull((*store)->Put("during", "lost", Durability::kSync), path);
  EXPECT_EQ((*store)->Get("during").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(*(*store)->Get("before"), "kept");

  ASSERT_EQ(unlink((disk + "/ballast").c_str()), 0);
  const absl::Status status = (*store)->Put("after", "kept", Durability::kSync);
  ASSERT_TRUE(status.ok()) << status;
  store->reset();
  store = OpenRocksDb({.path = path});
  ASSERT_TRUE(store.ok()) << store.status();
  for (const char* key : {"before", "after"}) EXPECT_EQ(*(*store)->Get(key), "kept");
}

TEST_F(DiskTest, ADiskThatRunsFullInAWriteStopsWritesUntilARestart) {
  const std::string disk = SmallDisk("12m");
  if (disk.empty()) return;
  const std::string path = disk + "/data";
  const RocksDbOptions options = {.path = path, .min_free_bytes = 0};
  auto store = OpenRocksDb(options);
  ASSERT_TRUE(store.ok()) << store.status();

  Fill(disk + "/ballast");
  absl::Status status;
  int written = 0;  // the part of RocksDB's log that is allocated already takes some
  const std::string value(32 * 1024, 'v');
  for (; written < 1000; ++written) {
    status = (*store)->Put(absl::StrCat("fill/", written), value, Durability::kSync);
    if (!status.ok()) break;
  }
  ExpectFull(status, path);
  EXPECT_THAT(std::string(status.message()), HasSubstr("restart"));
  EXPECT_EQ((*store)->Get(absl::StrCat("fill/", written)).status().code(), absl::StatusCode::kNotFound);

  ASSERT_EQ(unlink((disk + "/ballast").c_str()), 0);
  ExpectFull((*store)->Put("after", "refused", Durability::kSync), path);
  for (int i = 0; i < written; ++i) EXPECT_EQ(*(*store)->Get(absl::StrCat("fill/", i)), value);

  store->reset();
  store = OpenRocksDb(options);
  ASSERT_TRUE(store.ok()) << store.status();
  for (int i = 0; i < written; ++i) EXPECT_EQ(*(*store)->Get(absl::StrCat("fill/", i)), value);
  EXPECT_TRUE((*store)->Put("after", "kept", Durability::kSync).ok());
}

TEST_F(DiskTest, AFullDiskIsToldAtOpening) {
  const std::string disk = SmallDisk("1m");
  if (disk.empty()) return;
  Fill(disk + "/ballast");
  for (const uint64_t min_free_bytes : {uint64_t{0}, uint64_t{1} << 20}) {
    const std::string path = disk + "/data";
    ExpectFull(OpenRocksDb({.path = path, .min_free_bytes = min_free_bytes}).status(), path);
  }
}

TEST_F(DiskTest, AReadOnlyDiskIsToldAtOpening) {
  const std::string disk = SmallDisk("48m");
  if (disk.empty()) return;
  const std::string path = disk + "/data";
  ASSERT_TRUE(OpenRocksDb({.path = path}).ok());
  ASSERT_EQ(mount(nullptr, disk.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  for (const std::string& folder : {path, disk + "/new"}) {
    const absl::Status status = OpenRocksDb({.path = folder}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_EQ(ReasonOf(status), reason::kStorage);
    EXPECT_THAT(std::string(status.message()), HasSubstr("read-only"));
  }
}

}  // namespace
}  // namespace dotagent::storage
