#include "common/record/topic_trie.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::record {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kRoom = 1'000;

Topic T(absl::string_view text) { return *Topic::Parse(text); }
TopicPattern P(absl::string_view text) { return *TopicPattern::Parse(text); }

TEST(TopicTrieTest, FindsWhoWantsATopic) {
  TopicTrie subscriptions(kRoom);
  ASSERT_TRUE(subscriptions.Add(P("prices.eu"), 1).ok());
  ASSERT_TRUE(subscriptions.Add(P("prices.*"), 2).ok());
  ASSERT_TRUE(subscriptions.Add(P("prices.>"), 3).ok());
  ASSERT_TRUE(subscriptions.Add(P(">"), 4).ok());
  ASSERT_TRUE(subscriptions.Add(P("*.eu"), 5).ok());
  EXPECT_THAT(subscriptions.Match(T("prices.eu")), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(subscriptions.Match(T("prices.us")), ElementsAre(2, 3, 4));
  EXPECT_THAT(subscriptions.Match(T("prices.eu.gas")), ElementsAre(3, 4));
  EXPECT_THAT(subscriptions.Match(T("prices")), ElementsAre(4));
  EXPECT_THAT(subscriptions.Match(T("Prices.eu")), ElementsAre(4, 5)) << "case matters";
}

TEST(TopicTrieTest, SeveralPatternsOfOneAreOneMatch) {
  TopicTrie subscriptions(kRoom);
  for (const char* pattern : {"a.b", "a.*", "a.>", ">"}) ASSERT_TRUE(subscriptions.Add(P(pattern), 7).ok());
  EXPECT_THAT(subscriptions.Match(T("a.b")), ElementsAre(7));
}

TEST(TopicTrieTest, WhatIsRemovedTakesNoRoom) {
  TopicTrie subscriptions(kRoom);
  ASSERT_TRUE(subscriptions.Add(P("a.b.c"), 1).ok());
  ASSERT_TRUE(subscriptions.Add(P("a.b.>"), 1).ok());
  ASSERT_TRUE(subscriptions.Add(P("a.b.c"), 2).ok());
  EXPECT_EQ(subscriptions.nodes(), 3u);
  subscriptions.Remove(P("a.b.c"), 1);
  EXPECT_THAT(subscriptions.Match(T("a.b.c")), ElementsAre(1, 2)) << "by a.b.>";
  subscriptions.Remove(P("a.b.c"), 2);
  EXPECT_EQ(subscriptions.nodes(), 2u);
  subscriptions.Remove(P("a.b.x"), 1);
  subscriptions.Remove(P("a"), 1);
  EXPECT_EQ(subscriptions.nodes(), 2u) << "what was never there";
  subscriptions.Remove(P("a.b.>"), 1);
  EXPECT_TRUE(subscriptions.empty());
  EXPECT_THAT(subscriptions.Match(T("a.b.c")), IsEmpty());
}

TEST(TopicTrieTest, RoomIsBoundedAndRefusalsTakeNone) {
  TopicTrie subscriptions(4);
  ASSERT_TRUE(subscriptions.Add(P("a.b.c"), 1).ok());
  const absl::Status full = subscriptions.Add(P("a.x.y"), 2);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(full), reason::kLimit);
  EXPECT_EQ(subscriptions.nodes(), 3u);
  EXPECT_TRUE(subscriptions.Add(P("a.b.c"), 2).ok()) << "the same pattern takes no more";
  EXPECT_TRUE(subscriptions.Add(P("a.x.>"), 2).ok());
  EXPECT_FALSE(subscriptions.Add(P("z"), 2).ok());
}

}  // namespace
}  // namespace dotagent::record
