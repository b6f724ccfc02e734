#include "common/record/name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

namespace dotagent::record {
namespace {

using testing::HasSubstr;

std::string Label(size_t size) { return std::string(size, 'a'); }

TEST(NameTest, AcceptsAndLowersNames) {
  EXPECT_EQ(Name::Parse("Bob.Agent")->text(), "bob.agent");
  EXPECT_EQ(Name::Parse("a.agent")->text(), "a.agent");
  EXPECT_EQ(Name::Parse("0-9.x--y.AGENT")->text(), "0-9.x--y.agent");
  EXPECT_EQ(Name::Parse("agent.agent")->text(), "agent.agent");
}

TEST(NameTest, LabelsHoldUpTo63Bytes) {
  EXPECT_TRUE(Name::Parse(Label(63) + ".agent").ok());
  EXPECT_THAT(std::string(Name::Parse(Label(64) + ".agent").status().message()), HasSubstr("over 63"));
}

TEST(NameTest, NamesHoldUpTo253Bytes) {
  const std::string three = Label(63) + "." + Label(63) + "." + Label(63) + ".";  // 192
  EXPECT_TRUE(Name::Parse(three + Label(55) + ".agent").ok());
  EXPECT_THAT(std::string(Name::Parse(three + Label(56) + ".agent").status().message()), HasSubstr("254 bytes"));
  EXPECT_FALSE(Name::Parse(std::string(100000, 'a')).ok());
}

TEST(NameTest, RefusalsSayWhichRuleBroke) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "end with .agent"},
      {"agent", "end with .agent"},
      {"bob", "end with .agent"},
      {"bob.agents", "end with .agent"},
      {"bob.agent.", "end with .agent"},
      {"bobagent", "end with .agent"},
      {".agent", "empty"},
      {".bob.agent", "empty"},
      {"a..b.agent", "empty"},
      {"bob..agent", "empty"},
      {"-bob.agent", "hyphen"},
      {"bob-.agent", "hyphen"},
      {"a.-.agent", "hyphen"},
      {"bo b.agent", "letters"},
      {"bob_1.agent", "letters"},
      {"b\xc3\xb6"
       "b.agent",
       "letters"},
      {std::string("b\0b.agent", 9), "letters"},
      {" bob.agent", "letters"},
  };
  for (const auto& [text, problem] : cases) {
    const absl::Status status = Name::Parse(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(ReasonOf(status), reason::kBadName);
    EXPECT_THAT(std::string(status.message()), HasSubstr(problem)) << text;
  }
}

TEST(NameTest, TheDhtKeyIsTheHashOfTheLowerCaseName) {
  // printf bob.agent | sha256sum
  EXPECT_EQ(HexEncode(Name::Parse("Bob.agent")->DhtKey()),
            "1c57d0ede30b8aee6b9f904c9c83e61c0640e43facc2f3f35f4870a5c8452376");
  EXPECT_EQ(*Name::Parse("BOB.agent"), *Name::Parse("bob.agent"));
  EXPECT_LT(*Name::Parse("alice.agent"), *Name::Parse("bob.agent"));
}

}  // namespace
}  // namespace dotagent::record
