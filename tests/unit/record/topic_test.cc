#include "common/record/topic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"

namespace dotagent::record {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

Topic T(absl::string_view text) { return *Topic::Parse(text); }
TopicPattern P(absl::string_view text) { return *TopicPattern::Parse(text); }

void ExpectRefused(const absl::Status& status, const std::string& fragment) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ReasonOf(status), reason::kBadMessage) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(fragment));
}

TEST(TopicTest, HasTokens) {
  EXPECT_THAT(T("prices.eu.Gas_1-x").tokens(), ElementsAre("prices", "eu", "Gas_1-x"));
  EXPECT_NE(T("prices"), T("Prices"));
}

TEST(TopicTest, RefusesWhatIsNone) {
  ExpectRefused(Topic::Parse("").status(), "empty");
  for (const char* bad : {".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "a/b", "a.b\n", "pri\xc3\xa4"}) {
    ExpectRefused(Topic::Parse(bad).status(), "between dots");
  }
  ExpectRefused(Topic::Parse(absl::string_view("a\0b", 3)).status(), "a\\x00");
}

TEST(TopicTest, LimitsHoldToTheByte) {
  EXPECT_TRUE(Topic::Parse(std::string(kMaxTopicTokenSize, 'a')).ok());
  EXPECT_FALSE(Topic::Parse(std::string(kMaxTopicTokenSize + 1, 'a')).ok());
  const std::vector<std::string> tokens(kMaxTopicTokens, "a");
  EXPECT_TRUE(Topic::Parse(absl::StrJoin(tokens, ".")).ok());
  ExpectRefused(Topic::Parse(absl::StrCat(absl::StrJoin(tokens, "."), ".a")).status(), "17 tokens");
  const std::string token(kMaxTopicTokenSize, 'a');
  const std::string largest = absl::StrCat(token, ".", token, ".", token, ".", token.substr(3));
  ASSERT_EQ(largest.size(), kMaxTopicSize);
  EXPECT_TRUE(Topic::Parse(largest).ok());
  ExpectRefused(Topic::Parse(absl::StrCat(largest, "a")).status(), "257 bytes");
}

TEST(TopicPatternTest, WildcardsMatchAsInNats) {
  EXPECT_TRUE(P("prices.eu").Matches(T("prices.eu")));
  EXPECT_FALSE(P("prices.eu").Matches(T("prices.us")));
  EXPECT_FALSE(P("prices").Matches(T("prices.eu")));
  EXPECT_FALSE(P("prices.eu").Matches(T("prices")));
  EXPECT_TRUE(P("prices.*").Matches(T("prices.eu")));
  EXPECT_FALSE(P("prices.*").Matches(T("prices")));
  EXPECT_FALSE(P("prices.*").Matches(T("prices.eu.gas")));
  EXPECT_TRUE(P("*.eu.*").Matches(T("prices.eu.gas")));
  EXPECT_TRUE(P("prices.>").Matches(T("prices.eu.gas")));
  EXPECT_FALSE(P("prices.>").Matches(T("prices"))) << "> stands for at least one token";
  EXPECT_TRUE(P(">").Matches(T("prices")));
}

TEST(TopicPatternTest, RefusesWhatIsNone) {
  ExpectRefused(TopicPattern::Parse("a.>.b").status(), "last token");
  ExpectRefused(TopicPattern::Parse("a.b*").status(), "* or >");
  ExpectRefused(TopicPattern::Parse("a.>>").status(), "* or >");
  EXPECT_TRUE(TopicPattern::Parse("*.*.*.*.>").ok());
  ExpectRefused(TopicPattern::Parse("*.*.*.*.*").status(), "5 *");
}

class TopicMessageTest : public testing::Test {
 protected:
  [[nodiscard]] Message Make(MessageType type, const std::string& to, Json content) const {
    return *Message::Sign({.id = "m1",
                           .type = type,
                           .sender = "alice.agent",
                           .recipient = to,
                           .timestamp = kNow,
                           .content = std::move(content)},
                          key_);
  }
  SeededRandom random_{1};
  crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
};

TEST_F(TopicMessageTest, APublicationNamesItsTopic) {
  const auto content = PublicationContent(T("prices.eu"), {{"text", "42"}});
  ASSERT_TRUE(content.ok());
  const Message message = Make(MessageType::kNotification, "alice.agent", *content);
  EXPECT_TRUE(IsPublication(message));
  EXPECT_EQ(*PublicationTopic(message), T("prices.eu"));
  EXPECT_EQ(message.content()["text"], "42");
  ExpectRefused(PublicationContent(T("prices.eu"), {{"topic", "other"}}).status(), "of its own");
}

TEST_F(TopicMessageTest, WhatIsNoPublication) {
  const Json topic = {{"topic", "prices.eu"}};
  ExpectRefused(PublicationTopic(Make(MessageType::kRequest, "alice.agent", topic)).status(), "NOTIFICATION");
  ExpectRefused(PublicationTopic(Make(MessageType::kNotification, "bob.agent", topic)).status(), "recipient");
  ExpectRefused(PublicationTopic(Make(MessageType::kNotification, "alice.agent", {{"topic", 1}})).status(), "a string");
  ExpectRefused(PublicationTopic(Make(MessageType::kNotification, "alice.agent", {{"topic", "a.*"}})).status(),
                "between dots");
  EXPECT_FALSE(IsPublication(Make(MessageType::kNotification, "alice.agent", Json::object())));
}

TEST_F(TopicMessageTest, ASubscriptionNamesItsPattern) {
  const Message message = Make(MessageType::kRequest, "bob.agent", SubscriptionContent(P("prices.>")));
  ASSERT_TRUE(SubscriptionPattern(message).ok()) << SubscriptionPattern(message).status();
  EXPECT_EQ(*SubscriptionPattern(message), P("prices.>"));
  for (const Json& content :
       {Json{{"method", "topics"}}, Json{{"topic", ">"}}, Json{{"method", "other"}, {"topic", ">"}},
        Json{{"method", "topics"}, {"topic", ">"}, {"more", 1}}}) {
    ExpectRefused(SubscriptionPattern(Make(MessageType::kRequest, "bob.agent", content)).status(), "a subscription is");
  }
  ExpectRefused(
      SubscriptionPattern(Make(MessageType::kNotification, "bob.agent", SubscriptionContent(P("prices.>")))).status(),
      "a REQUEST");
}

}  // namespace
}  // namespace dotagent::record
