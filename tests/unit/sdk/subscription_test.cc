#include "sdk/cpp/subscription.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/status.h"
#include "tests/unit/sdk/fake_gateway.h"
#include "tests/unit/sdk/samples.h"

namespace dotagent::sdk {
namespace {

namespace v1 = ::dotagent::gateway::v1;

class SubscriptionTest : public testing::Test {
 protected:
  SubscriptionTest() {
    gateway_.AddRecord(SignedRecord(alice_, "alice.agent"));
    agent_ = gateway_.Connect("bob.agent", bob_);
  }

  static std::string SignedPublication(const crypto::Signer& key, const std::string& publisher,
                                       const std::string& topic) {
    return record::Message::Sign({.id = "p1",
                                  .sender = publisher,
                                  .recipient = publisher,
                                  .timestamp = absl::Now(),
                                  .content = {{"topic", topic}, {"text", "hello"}}},
                                 key)
        .value()
        .json();
  }
  static v1::SubscribeResponse Ready() {
    v1::SubscribeResponse response;
    response.add_events()->mutable_ready()->set_sequence(41);
    return response;
  }
  static void AddPublication(v1::SubscribeResponse& response, uint64_t sequence, const std::string& json,
                             const crypto::PublicKey& key) {
    v1::Publication& publication = *response.add_events()->mutable_publication();
    publication.set_sequence(sequence);
    publication.set_message_json(json);
    publication.set_sender_key(std::string(key.bytes()));
  }
  // The next item, which must be a rejection for this reason.
  static void ExpectRejected(Subscription& subscription, absl::string_view reason) {
    const auto item = subscription.Next(kPatience);
    ASSERT_TRUE(item.ok()) << item.status();
    ASSERT_TRUE(std::holds_alternative<RejectedPublication>(*item)) << reason;
    EXPECT_EQ(ReasonOf(std::get<RejectedPublication>(*item).why), reason);
  }

  const crypto::SigningKey alice_ = KeyFromSeed(1);
  const crypto::SigningKey bob_ = KeyFromSeed(2);
  const crypto::SigningKey mallory_ = KeyFromSeed(3);
  FakeGateway gateway_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(SubscriptionTest, PublicationsAndGapsComeInOrder) {
  v1::SubscribeResponse answer;
  AddPublication(answer, 42, SignedPublication(alice_, "alice.agent", "prices.eu"), alice_.public_key());
  v1::Missed& missed = *answer.add_events()->mutable_missed();
  missed.set_cause(v1::MISSED_CAUSE_BROKEN_LINK);
  missed.set_count(3);
  missed.set_first_sequence(43);
  missed.set_last_sequence(45);
  gateway_.SetSubscription({Ready(), v1::SubscribeResponse(), answer}, absl::UnavailableError("over"));
  const auto subscription = agent_->Subscribe("Alice.agent", "prices.>", "a token");
  ASSERT_TRUE(subscription.ok()) << subscription.status();
  EXPECT_EQ((*subscription)->sequence(), 41u);

  const auto first = (*subscription)->Next(kPatience);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto& received = std::get<ReceivedPublication>(*first);
  EXPECT_EQ(received.sequence, 42u);
  EXPECT_EQ(received.topic.text(), "prices.eu");
  EXPECT_EQ(received.message.content()["text"], "hello");
  const auto second = (*subscription)->Next(kPatience);
  ASSERT_TRUE(second.ok()) << second.status();
  const auto& gap = std::get<MissedPublications>(*second);
  EXPECT_EQ(gap.cause, MissedPublications::Cause::kBrokenLink);
  EXPECT_EQ(gap.count, 3u);
  EXPECT_EQ(gap.first_sequence, 43u);
  EXPECT_EQ(gap.last_sequence, 45u);
  EXPECT_EQ((*subscription)->Next(kPatience).status().message(), "over");

  const v1::SubscribeRequest asked = gateway_.last_subscribe();
  EXPECT_EQ(asked.token(), "a token");
  const auto request = record::Message::Verify(asked.message_json(), bob_.public_key(), absl::Now());
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->recipient().text(), "alice.agent");
  EXPECT_EQ(record::SubscriptionPattern(*request)->text(), "prices.>");
}

TEST_F(SubscriptionTest, WhatALyingGatewaySaysIsRejected) {
  gateway_.AddRecord(SignedRecord(mallory_, "mallory.agent"));
  const std::string good = SignedPublication(alice_, "alice.agent", "prices.eu");
  std::string altered = good;
  altered.replace(altered.find("hello"), 5, "HELLO");
  v1::SubscribeResponse answer;
  AddPublication(answer, 1, altered, alice_.public_key());
  AddPublication(answer, 2, SignedPublication(mallory_, "alice.agent", "prices.eu"), mallory_.public_key());
  AddPublication(answer, 3, SignedPublication(mallory_, "mallory.agent", "prices.eu"), mallory_.public_key());
  AddPublication(answer, 4, SignedPublication(alice_, "alice.agent", "news"), alice_.public_key());
  AddPublication(answer, 5, SignedMessage(alice_, "alice.agent", "m1"), alice_.public_key());
  AddPublication(answer, 6, good, alice_.public_key());
  gateway_.SetSubscription({Ready(), answer}, absl::OkStatus());
  const auto subscription = agent_->Subscribe("alice.agent", "prices.*");
  ASSERT_TRUE(subscription.ok()) << subscription.status();
  ExpectRejected(**subscription, reason::kBadSignature);
  ExpectRejected(**subscription, reason::kKeyMismatch);
  ExpectRejected(**subscription, reason::kProtocol);
  ExpectRejected(**subscription, reason::kProtocol);
  ExpectRejected(**subscription, reason::kBadMessage);
  const auto last = (*subscription)->Next(kPatience);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_TRUE(std::holds_alternative<ReceivedPublication>(*last));
  EXPECT_EQ(ReasonOf((*subscription)->Next(kPatience).status()), reason::kUnreachable);
}

TEST_F(SubscriptionTest, ARefusalIsTheAnswer) {
  gateway_.Refuse("Subscribe", ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kNotAContact, "no"));
  EXPECT_EQ(ReasonOf(agent_->Subscribe("alice.agent", "a").status()), reason::kNotAContact);
  EXPECT_EQ(ReasonOf(agent_->Subscribe("alice.agent", "a..b").status()), reason::kBadMessage);
  EXPECT_EQ(ReasonOf(agent_->Subscribe("alice", "a").status()), reason::kBadName);
}

TEST_F(SubscriptionTest, AGatewayThatDoesNotBeginWithReady) {
  v1::SubscribeResponse answer;
  AddPublication(answer, 1, SignedPublication(alice_, "alice.agent", "a"), alice_.public_key());
  gateway_.SetSubscription({answer}, absl::OkStatus());
  EXPECT_EQ(ReasonOf(agent_->Subscribe("alice.agent", "a").status()), reason::kProtocol);
}

TEST_F(SubscriptionTest, ATokenThatRanOutIsRenewed) {
  gateway_.SetSubscription({Ready()}, absl::OkStatus());
  gateway_.ForgetTokens();
  EXPECT_TRUE(agent_->Subscribe("alice.agent", "a").ok());
  EXPECT_EQ(gateway_.Count("Subscribe"), 2);
}

}  // namespace
}  // namespace dotagent::sdk
