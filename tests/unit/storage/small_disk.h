// A disk that a test can fill: it runs itself again in a mount namespace of its own, with a small tmpfs that goes away
// with the namespace.
#ifndef DOTAGENT_TESTS_UNIT_STORAGE_SMALL_DISK_H_
#define DOTAGENT_TESTS_UNIT_STORAGE_SMALL_DISK_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/unit/storage/temp_folder.h"

namespace dotagent::storage {

inline constexpr char kFolderVariable[] = "DOTAGENT_TEST_DISK";

inline std::string OwnPath() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  return {path, size > 0 ? static_cast<size_t>(size) : 0};
}

// The folder of a small disk, inside the namespace. Outside, runs the current test again inside one with a disk of
// `size`, checks that it passed, and returns an empty string: the test is then done.
inline std::string SmallDisk(const std::string& size) {
  if (const char* path = std::getenv(kFolderVariable)) return path;
  const TempFolder folder;
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string command =
      absl::StrCat("unshare --mount --propagation private sh -c 'mount -t tmpfs -o size=", size, " none ",
                   folder.path(), " && ", kFolderVariable, "=", folder.path(), " exec ", OwnPath(),
                   " --gtest_filter=", test->test_suite_name(), ".", test->name(), "'");
  EXPECT_EQ(std::system(command.c_str()), 0) << "see the inner run above";
  return "";
}

inline bool CanMount() {
  return geteuid() == 0 &&
         std::system("unshare --mount --propagation private mount -t tmpfs none /mnt 2>/dev/null") == 0;
}

// Takes all that is left of the disk.
inline void Fill(const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  const std::string block(4096, 'x');
  while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
  }
}

}  // namespace dotagent::storage

#endif  // DOTAGENT_TESTS_UNIT_STORAGE_SMALL_DISK_H_
