#include "common/capability/resource.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::capability {
namespace {

Resource Parsed(absl::string_view text) {
  const auto resource = Resource::Parse(text);
  EXPECT_TRUE(resource.ok()) << resource.status();
  return *resource;
}

TEST(ResourceTest, HasAnAgentAndAPath) {
  const Resource whole = Parsed("agent://bob.agent");
  EXPECT_EQ(whole.agent(), "bob.agent");
  EXPECT_EQ(whole.path(), "");
  const Resource part = Parsed("agent://mail.bob.agent/Calendar/2026-11_a.b~c");
  EXPECT_EQ(part.agent(), "mail.bob.agent");
  EXPECT_EQ(part.path(), "Calendar/2026-11_a.b~c");
  EXPECT_EQ(Resource::Of(*record::Name::Parse("Bob.agent"), "x/y")->text(), "agent://bob.agent/x/y");
  EXPECT_EQ(Resource::Of(*record::Name::Parse("bob.agent"), "")->text(), "agent://bob.agent");
}

TEST(ResourceTest, CoversByWholeSegments) {
  const Resource whole = Parsed("agent://bob.agent");
  const Resource cal = Parsed("agent://bob.agent/cal");
  EXPECT_TRUE(whole.Covers(whole));
  EXPECT_TRUE(whole.Covers(cal));
  EXPECT_FALSE(cal.Covers(whole));
  EXPECT_TRUE(cal.Covers(Parsed("agent://bob.agent/cal/x")));
  EXPECT_FALSE(cal.Covers(Parsed("agent://bob.agent/calendar")));
  EXPECT_FALSE(cal.Covers(Parsed("agent://bob.agent/Cal/x")));
  EXPECT_FALSE(whole.Covers(Parsed("agent://bob.agent.agent/cal")));
  EXPECT_FALSE(whole.Covers(Parsed("agent://rob.agent/cal")));
}

TEST(ResourceTest, HasOneSpelling) {
  for (const char* text : {"",
                           "bob.agent",
                           "agent:/bob.agent",
                           "Agent://bob.agent",
                           "agent://Bob.agent",
                           "agent://bob.com",
                           "agent://",
                           "agent:///x",
                           "agent://bob.agent/",
                           "agent://bob.agent//x",
                           "agent://bob.agent/x/",
                           "agent://bob.agent/./x",
                           "agent://bob.agent/x/..",
                           "agent://bob.agent/a%2fb",
                           "agent://bob.agent/a b",
                           "agent://bob.agent/x?y",
                           "agent://bob.agent/x#y",
                           "agent://bob.agent:1/x",
                           "agent://u@bob.agent/x",
                           "agent://bob.agent/\xc3\xa9"}) {
    EXPECT_EQ(ReasonOf(Resource::Parse(text).status()), reason::kBadToken) << text;
  }
}

TEST(ResourceTest, IsBounded) {
  std::string sixteen = "agent://bob.agent";
  for (int i = 0; i < 16; ++i) sixteen += "/x";
  EXPECT_TRUE(Resource::Parse(sixteen).ok());
  EXPECT_FALSE(Resource::Parse(sixteen + "/x").ok());
  const std::string prefix = "agent://bob.agent/";
  EXPECT_TRUE(Resource::Parse(prefix + std::string(kMaxResourceSize - prefix.size(), 'x')).ok());
  EXPECT_FALSE(Resource::Parse(prefix + std::string(kMaxResourceSize - prefix.size() + 1, 'x')).ok());
  // What is refused is shown in one short line.
  const std::string shown(Resource::Parse(std::string(5000, '\n')).status().message());
  EXPECT_LT(shown.size(), 300U);
  EXPECT_EQ(shown.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace dotagent::capability
