// A folder of its own for each test, removed with the test.
#ifndef DOTAGENT_TESTS_UNIT_STORAGE_TEMP_FOLDER_H_
#define DOTAGENT_TESTS_UNIT_STORAGE_TEMP_FOLDER_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace dotagent::storage {

class TempFolder {
 public:
  TempFolder() : path_(testing::TempDir() + "dotagent-storage-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "cannot make " << path_;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace dotagent::storage

#endif  // DOTAGENT_TESTS_UNIT_STORAGE_TEMP_FOLDER_H_
