#include "common/base/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace dotagent {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Sets a variable for the length of a scope.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~ScopedVariable() { unsetenv(name_); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
};

class OptionTableTest : public testing::Test {
 protected:
  OptionTableTest() : table_("dotagent-test", "Tests.") {
    table_.Add("listen", &listen_, "Where to listen");
    table_.Add("bootstrap", &bootstrap_, "Nodes to join through");
    table_.Add("limit", &limit_, "How many");
    table_.Add("share", &share_, "What part");
    table_.Add("fast", &fast_, "Go fast");
    table_.Add("drain-grace", &grace_, "How long to wait");
    table_.AddExample("dotagent-test --fast");
  }
  ~OptionTableTest() override { unlink(path_.c_str()); }

  absl::StatusOr<bool> Parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "dotagent-test");
    return table_.Parse(static_cast<int>(arguments.size()), arguments.data());
  }
  // A configuration file with this content; returns the flag that names it.
  std::string File(const std::string& content) {
    std::ofstream(path_) << content;
    return "--config=" + path_;
  }

  const std::string path_ = absl::StrCat(testing::TempDir(), "/config_test_", getpid(), ".toml");
  std::string listen_ = "127.0.0.1:0";
  std::vector<std::string> bootstrap_;
  uint64_t limit_ = 7;
  double share_ = 0.5;
  bool fast_ = false;
  absl::Duration grace_ = absl::Seconds(10);
  OptionTable table_;
};

TEST_F(OptionTableTest, DefaultsStayWhereNothingIsGiven) {
  ASSERT_TRUE(*Parse({}));
  EXPECT_EQ(listen_, "127.0.0.1:0");
  EXPECT_EQ(limit_, 7U);
  EXPECT_FALSE(fast_);
}

TEST_F(OptionTableTest, FlagsOfEveryKind) {
  ASSERT_TRUE(*Parse({"--listen=[::1]:5", "--bootstrap", "/ip4/a", "--bootstrap=/ip4/b", "--limit", "9", "--share=0.25",
                      "--fast", "--drain-grace=1m30s"}));
  EXPECT_EQ(listen_, "[::1]:5");
  EXPECT_THAT(bootstrap_, ElementsAre("/ip4/a", "/ip4/b"));
  EXPECT_EQ(limit_, 9U);
  EXPECT_EQ(share_, 0.25);
  EXPECT_TRUE(fast_);
  EXPECT_EQ(grace_, absl::Seconds(90));
}

TEST_F(OptionTableTest, AFlagCanBeSwitchedOff) {
  fast_ = true;
  ASSERT_TRUE(*Parse({"--fast=false"}));
  EXPECT_FALSE(fast_);
}

TEST_F(OptionTableTest, FlagWinsOverVariableOverFileOverDefault) {
  const std::string file = File("limit = 1\ndrain-grace = '1s'\nlisten = \"file\"  # comment\n");
  const ScopedVariable limit("DOTAGENT_LIMIT", "2");
  const ScopedVariable grace("DOTAGENT_DRAIN_GRACE", "2s");
  ASSERT_TRUE(*Parse({file.c_str(), "--limit=3"}));
  EXPECT_EQ(limit_, 3U);
  EXPECT_EQ(grace_, absl::Seconds(2));
  EXPECT_EQ(listen_, "file");
}

TEST_F(OptionTableTest, ListsComeFromVariableAndFile) {
  const std::string file = File("bootstrap = [\n  \"a\", # one\n  'b',\n]\n");
  ASSERT_TRUE(*Parse({file.c_str()}));
  EXPECT_THAT(bootstrap_, ElementsAre("a", "b"));
  const ScopedVariable variable("DOTAGENT_BOOTSTRAP", "c,d");
  ASSERT_TRUE(*Parse({file.c_str()}));
  EXPECT_THAT(bootstrap_, ElementsAre("c", "d"));
}

TEST_F(OptionTableTest, TheFileMayBeNamedByAVariable) {
  File("fast = true\n");
  const ScopedVariable config("DOTAGENT_CONFIG", path_.c_str());
  ASSERT_TRUE(*Parse({}));
  EXPECT_TRUE(fast_);
}

TEST_F(OptionTableTest, UnknownFlagsKeysAndArgumentsAreRefused) {
  EXPECT_THAT(Parse({"--nope=1"}).status().message(), HasSubstr("--nope"));
  EXPECT_THAT(Parse({"stray"}).status().message(), HasSubstr("stray"));
  const std::string file = File("\nlimits = 1\n");
  EXPECT_THAT(Parse({file.c_str()}).status().message(), AllOf(HasSubstr("line 2"), HasSubstr("limits")));
}

TEST_F(OptionTableTest, ErrorsSayWhereTheValueCameFrom) {
  EXPECT_THAT(Parse({"--limit=-1"}).status().message(), AllOf(HasSubstr("--limit"), HasSubstr("'-1'")));
  EXPECT_THAT(Parse({"--drain-grace=10"}).status().message(), HasSubstr("--drain-grace"));
  EXPECT_THAT(Parse({"--limit=1", "--limit=2"}).status().message(), HasSubstr("--limit"));
  const std::string file = File("limit = \"many\"\n");
  EXPECT_THAT(Parse({file.c_str()}).status().message(), AllOf(HasSubstr("line 1"), HasSubstr("'many'")));
  const ScopedVariable limit("DOTAGENT_LIMIT", "18446744073709551616");
  EXPECT_THAT(Parse({}).status().message(), HasSubstr("DOTAGENT_LIMIT"));
}

TEST_F(OptionTableTest, FilesThatAreNotTomlAreRefused) {
  EXPECT_THAT(Parse({"--config=/nonexistent/x"}).status().message(), HasSubstr("/nonexistent/x"));
  EXPECT_FALSE(Parse({"--config=/tmp"}).ok());
  for (const char* bad : {"[section]\nlimit=1", "limit", "limit = ", "limit = 1 2", "limit = 1\nlimit = 2",
                          "listen = \"x", "listen = 'x\n'", "listen = x", "limit = 1.5", "bootstrap = [\"a\" \"b\"]",
                          "bootstrap = [\"a\"", "limit = [1]", "listen = \"\\q\"", "= 1"}) {
    EXPECT_FALSE(Parse({File(bad).c_str()}).ok()) << bad;
  }
}

TEST_F(OptionTableTest, HelpShowsDefaultVariableAndExamples) {
  testing::internal::CaptureStdout();
  EXPECT_FALSE(*Parse({"--help"}));
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              AllOf(HasSubstr("--drain-grace"), HasSubstr("DOTAGENT_DRAIN_GRACE; default: 10s"),
                    HasSubstr("dotagent-test --fast")));
}

TEST_F(OptionTableTest, VersionIsPrinted) {
  testing::internal::CaptureStdout();
  EXPECT_FALSE(*Parse({"--version"}));
  EXPECT_EQ(testing::internal::GetCapturedStdout(), absl::StrCat("dotagent-test ", Version(), "\n"));
}

}  // namespace
}  // namespace dotagent
