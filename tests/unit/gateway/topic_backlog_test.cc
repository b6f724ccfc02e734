#include "services/gateway/topic_backlog.h"

#include <gtest/gtest.h>

#include "common/base/random.h"
#include "common/base/varint.h"

namespace dotagent::gateway_service {
namespace {

class TopicBacklogTest : public testing::Test {
 protected:
  [[nodiscard]] PublicationPtr Make(uint64_t sequence, size_t size = 10) const {
    return SharePublication(sequence, std::string(size, 'x'), key_, false);
  }
  void ExpectPublication(TopicBacklog& backlog, uint64_t sequence) {
    const auto entry = backlog.Pop();
    ASSERT_TRUE(entry && std::holds_alternative<PublicationPtr>(*entry)) << sequence;
    EXPECT_EQ(std::get<PublicationPtr>(*entry)->sequence, sequence);
  }
  void ExpectGap(TopicBacklog& backlog, uint64_t count, uint64_t first, uint64_t last,
                 gateway::v1::MissedCause cause = gateway::v1::MISSED_CAUSE_SLOW_SUBSCRIBER) {
    const auto entry = backlog.Pop();
    ASSERT_TRUE(entry && std::holds_alternative<Gap>(*entry)) << first;
    const Gap& gap = std::get<Gap>(*entry);
    EXPECT_EQ(gap.cause, cause);
    EXPECT_EQ(gap.count, count);
    EXPECT_EQ(gap.first, first);
    EXPECT_EQ(gap.last, last);
  }

  SeededRandom random_{1};
  const crypto::PublicKey key_ = crypto::SigningKey::Generate(random_).public_key();
  TopicBacklog backlog_{{.entries = 4, .bytes = 1'000}, gateway::v1::MISSED_CAUSE_SLOW_SUBSCRIBER};
};

TEST_F(TopicBacklogTest, WhatDoesNotFitInIsToldInItsPlace) {
  for (uint64_t i = 1; i <= 4; ++i) EXPECT_TRUE(backlog_.Push(Make(i)));
  for (const uint64_t i : {5, 7, 9}) EXPECT_FALSE(backlog_.Push(Make(i)));
  ExpectPublication(backlog_, 1);
  EXPECT_FALSE(backlog_.Push(Make(10))) << "not before half of it is taken";
  for (uint64_t i = 2; i <= 3; ++i) ExpectPublication(backlog_, i);
  EXPECT_TRUE(backlog_.Push(Make(11)));
  ExpectPublication(backlog_, 4);
  ExpectGap(backlog_, 4, 5, 10);
  ExpectPublication(backlog_, 11);
  EXPECT_FALSE(backlog_.Pop());
  EXPECT_EQ(backlog_.bytes(), 0u);
}

TEST_F(TopicBacklogTest, BytesAreBoundedToo) {
  EXPECT_TRUE(backlog_.Push(Make(1, 400)));
  EXPECT_TRUE(backlog_.Push(Make(2, 400)));
  EXPECT_FALSE(backlog_.Push(Make(3, 400)));
  EXPECT_FALSE(backlog_.Push(Make(4, 1))) << "a small one does not overtake";
  EXPECT_LE(backlog_.bytes(), 1'000u);
}

TEST_F(TopicBacklogTest, GapsFromElsewhereAreBounded) {
  const auto gap = [](gateway::v1::MissedCause cause, uint64_t at) {
    return Gap{.cause = cause, .count = 1, .first = at, .last = at};
  };
  backlog_.PushGap(gap(gateway::v1::MISSED_CAUSE_SLOW_LINK, 1));
  backlog_.PushGap(gap(gateway::v1::MISSED_CAUSE_SLOW_LINK, 2));
  backlog_.PushGap(gap(gateway::v1::MISSED_CAUSE_BROKEN_LINK, 3));
  EXPECT_EQ(backlog_.size(), 2u);
  for (uint64_t i = 4; i < 100; i += 2) {
    backlog_.PushGap(gap(gateway::v1::MISSED_CAUSE_SLOW_LINK, i));
    (void)backlog_.Push(Make(i + 1));
  }
  EXPECT_LE(backlog_.size(), 5u);
  ExpectGap(backlog_, 2, 1, 2, gateway::v1::MISSED_CAUSE_SLOW_LINK);
}

TEST_F(TopicBacklogTest, ARestartMakesNumbersUnknown) {
  for (uint64_t i = 1; i <= 5; ++i) (void)backlog_.Push(Make(i));
  backlog_.PushGap({.cause = gateway::v1::MISSED_CAUSE_RESTART});
  (void)backlog_.Push(Make(1));
  for (uint64_t i = 1; i <= 4; ++i) ExpectPublication(backlog_, i);
  ExpectGap(backlog_, 0, 0, 0, gateway::v1::MISSED_CAUSE_RESTART);
}

TEST_F(TopicBacklogTest, SeveralOneAfterTheOtherAreOneResponse) {
  const auto one = SharePublication(1, "{\"a\":1}", key_, true);
  const auto two = SharePublication(2, "{\"b\":2}", key_, false);
  const auto bytes = [](const grpc::Slice& slice) {
    return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
  };
  gateway::v1::SubscribeResponse response;
  ASSERT_TRUE(response.ParseFromString(bytes(one->for_agents) + bytes(two->for_agents)));
  ASSERT_EQ(response.events_size(), 2);
  EXPECT_EQ(response.events(1).publication().sequence(), 2u);
  EXPECT_EQ(response.events(0).publication().message_json(), "{\"a\":1}");
  EXPECT_EQ(response.events(0).publication().sender_key(), key_.bytes());

  std::string for_gateways = one->for_gateways;
  const auto message = TakeLengthPrefixed(&for_gateways, 1'000);
  ASSERT_TRUE(message.ok() && *message);
  trunk::v1::TopicsEvent event;
  ASSERT_TRUE(event.ParseFromString(**message));
  EXPECT_EQ(event.publication().sequence(), 1u);
  EXPECT_EQ(two->for_gateways, "");
}

}  // namespace
}  // namespace dotagent::gateway_service
