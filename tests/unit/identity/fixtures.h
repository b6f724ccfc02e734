// What the tests of certificates share: two keys, a clock, a folder, and the openssl command to compare with.
#ifndef DOTAGENT_TESTS_UNIT_IDENTITY_FIXTURES_H_
#define DOTAGENT_TESTS_UNIT_IDENTITY_FIXTURES_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate_builder.h"

namespace dotagent::identity {

struct CommandResult {
  int status;
  std::string output;
};

inline CommandResult RunCommand(const std::string& command) {
  FILE* const pipe = popen(("(" + command + ") 2>&1").c_str(), "r");
  CommandResult result{-1, ""};
  char buffer[4096];
  while (const size_t count = fread(buffer, 1, sizeof(buffer), pipe)) {
    result.output.append(buffer, count);
  }
  result.status = pclose(pipe);
  return result;
}

inline std::string PemToDer(const std::string& pem) { return CertificateToDer(**CertificateFromPem(pem)); }

class CertificateTest : public testing::Test {
 protected:
  CertificateTest() {
    folder_ = testing::TempDir() + "certificate_test.XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }
  ~CertificateTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << content;
    return folder_ + "/" + name;
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(folder_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  SeededRandom random_{1};
  const crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
  const crypto::SigningKey other_ = crypto::SigningKey::Generate(random_);
  const absl::Time now_ = absl::FromUnixSeconds(1800000000);
  std::string folder_;
};

}  // namespace dotagent::identity

#endif  // DOTAGENT_TESTS_UNIT_IDENTITY_FIXTURES_H_
