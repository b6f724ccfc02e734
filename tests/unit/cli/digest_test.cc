#include "cli/digest.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"

namespace dotagent::cli {
namespace {

using Json = nlohmann::json;

Json DigestOf(absl::string_view data) {
  Digest digest;
  digest.Update(data);
  return Json::parse(digest.FinishAsJson());
}

// By the machine's own tools.
Json Measured(const std::string& data) {
  std::string path = testing::TempDir() + "/digest_test_XXXXXX";
  const int fd = mkstemp(path.data());
  EXPECT_GE(fd, 0);
  EXPECT_EQ(write(fd, data.data(), data.size()), static_cast<ssize_t>(data.size()));
  close(fd);
  const std::string command = absl::StrCat("sha256sum < ", path, " && LC_ALL=C wc < ", path);
  std::FILE* tools = popen(command.c_str(), "r");
  char sha256[65] = {};
  unsigned long long lines = 0;
  unsigned long long words = 0;
  unsigned long long bytes = 0;
  EXPECT_EQ(std::fscanf(tools, "%64s - %llu %llu %llu", sha256, &lines, &words, &bytes), 4);
  EXPECT_EQ(pclose(tools), 0);
  unlink(path.c_str());
  return {{"sha256", sha256}, {"lines", lines}, {"words", words}, {"bytes", bytes}};
}

TEST(DigestTest, KnownCounts) {
  EXPECT_EQ(DigestOf(""), Json({{"sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                                {"lines", 0},
                                {"words", 0},
                                {"bytes", 0}}));
  EXPECT_EQ(DigestOf("abc"), Json({{"sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                                   {"lines", 0},
                                   {"words", 1},
                                   {"bytes", 3}}));
  const Json text = DigestOf("one two\n\tthree\v four\f\r\nfive");
  EXPECT_EQ(text["lines"], 2);
  EXPECT_EQ(text["words"], 5);
  EXPECT_EQ(text["bytes"], 27);
}

TEST(DigestTest, AgreesWithTheMachinesToolsOnAnyBytes) {
  SeededRandom random(1);
  std::string every_byte;
  for (int i = 0; i < 256; ++i) absl::StrAppend(&every_byte, std::string(1, static_cast<char>(i)), "x", " ");
  for (const std::string& data : {random.Bytes(100'000), every_byte, std::string("\0a\0 \x7f \x80\xff\n", 9),
                                  std::string("h\xc3\xa9llo w\xc3\xb6rld\xc2\xa0!\n"), std::string(5000, '\n')}) {
    EXPECT_EQ(DigestOf(data), Measured(data));
  }
}

TEST(DigestTest, PiecesMakeNoDifference) {
  SeededRandom random(2);
  const std::string data = random.Bytes(20'000);
  for (const size_t size : {1U, 7U, 4096U}) {
    Digest digest;
    for (size_t at = 0; at < data.size(); at += size) digest.Update(absl::string_view(data).substr(at, size));
    EXPECT_EQ(Json::parse(digest.FinishAsJson()), DigestOf(data));
  }
}

}  // namespace
}  // namespace dotagent::cli
