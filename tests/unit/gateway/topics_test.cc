// Publications and subscriptions, over one gateway and several.
#include "services/gateway/topics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/gateway/topics_fixture.h"

namespace dotagent::gateway_service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr TopicLimits kSmall = {.max_per_agent = 3,
                                .max_subscriptions = 5,
                                .max_publishers = 4,
                                .agent_backlog = {.entries = 4},
                                .link_backlog = {.entries = 4}};

class TopicsTest : public TopicsFixture {
 protected:
  TopicsTest() : TopicsFixture(kSmall) {}

  void ExpectOpen(const SubscribeCall& call) {
    EXPECT_FALSE(call.finished) << *call.finished;
    ASSERT_FALSE(call.events.empty());
    EXPECT_TRUE(call.events[0].has_ready());
  }

  static void ExpectEnded(const SubscribeCall& call, absl::StatusCode code, absl::string_view reason) {
    ASSERT_TRUE(call.finished);
    EXPECT_EQ(call.finished->code(), code) << *call.finished;
    EXPECT_EQ(ReasonOf(*call.finished), reason) << *call.finished;
  }
};

TEST_F(TopicsTest, ReachesWhoSubscribes) {
  const auto all = bob_.Subscribe("alice.agent", "prices.>");
  const auto some = bob_.Subscribe("alice.agent", "prices.eu");
  const auto far = carol_.Subscribe("alice.agent", "prices.*");
  for (const auto& call : {all, some, far}) ExpectOpen(*call);

  const auto first = alice_.Publish("prices.eu", "p1");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->sequence(), 1u);
  EXPECT_EQ(first->subscribers(), 2u);
  EXPECT_EQ(first->gateways(), 1u);
  EXPECT_EQ(alice_.Publish("prices.us", "p2")->subscribers(), 1u);
  EXPECT_EQ(alice_.Publish("news", "p3")->gateways(), 0u);

  EXPECT_THAT(Seen(*all), ElementsAre("ready", "p1", "p2"));
  EXPECT_THAT(Seen(*some), ElementsAre("ready", "p1"));
  EXPECT_THAT(Seen(*far), ElementsAre("ready", "p1", "p2"));
  EXPECT_EQ(far->events[2].publication().sequence(), 2u);
  EXPECT_EQ(far->events[2].publication().sender_key(), alice_.key.public_key().bytes());
}

TEST_F(TopicsTest, TopicsOfOthersAreOthers) {
  const auto call = carol_.Subscribe("alice.agent", ">");
  ASSERT_TRUE(bob_.Publish("prices.eu", "p1").ok());
  EXPECT_THAT(Seen(*call), ElementsAre("ready"));
}

TEST_F(TopicsTest, OneCopyForAGateway) {
  TestAgent dave(world_, two_, "dave.agent");
  dave.Settle();
  const auto one = carol_.Subscribe("alice.agent", ">");
  const auto two = carol_.Subscribe("alice.agent", "prices.eu");
  const auto three = dave.Subscribe("alice.agent", ">");
  EXPECT_EQ(two_.trunk.dialled, 1) << "one link for all";
  const auto published = alice_.Publish("prices.eu", "p1");
  EXPECT_EQ(published->gateways(), 1u);
  for (const auto& call : {one, two, three}) EXPECT_THAT(Seen(*call), ElementsAre("ready", "p1"));
  EXPECT_THAT(one_->metrics.Render(), HasSubstr("dotagent_gateway_publications_delivered_total{to=\"gateway\"} 1\n"));
}

TEST_F(TopicsTest, TheEndOfASubscriptionReachesThePublishersGateway) {
  const auto one = carol_.Subscribe("alice.agent", "a");
  const auto two = carol_.Subscribe("alice.agent", "a");
  one->Cancel();
  world_.tasks.Run();
  EXPECT_EQ(alice_.Publish("a", "p1")->gateways(), 1u) << "the other one is there still";
  two->Cancel();
  world_.tasks.Run();
  EXPECT_EQ(alice_.Publish("a", "p2")->gateways(), 0u);
  EXPECT_THAT(Seen(*two), ElementsAre("ready", "p1"));
  Wait(2);
  EXPECT_THAT(one_->metrics.Render(), HasSubstr("dotagent_gateway_topic_links 0\n"));
  EXPECT_THAT(two_.metrics.Render(), HasSubstr("dotagent_gateway_topic_links 0\n"));
}

TEST_F(TopicsTest, RefusesWhatIsNoPublicationOfTheCallers) {
  EXPECT_EQ(ReasonOf(alice_.PublishSigned(alice_.SignMessage("bob.agent", "m1")).status()), reason::kBadMessage);
  EXPECT_EQ(ReasonOf(alice_.PublishSigned(bob_.SignPublication("a", "p1")).status()), reason::kBadSignature);
  EXPECT_EQ(ReasonOf(alice_.PublishSigned(std::string(record::kMaxMessageSize + 1, ' ')).status()), reason::kTooLarge);
  EXPECT_EQ(ReasonOf(alice_.Publish("a..b", "p1").status()), reason::kBadMessage);

  TestAgent impostor(world_, *one_, "alice.agent");
  ASSERT_TRUE(impostor.Authenticate().ok());
  EXPECT_EQ(ReasonOf(impostor.Publish("a", "p1").status()), reason::kKeyMismatch);
  TestAgent nobody(world_, *one_, "nobody.agent");
  ASSERT_TRUE(nobody.Authenticate().ok());
  EXPECT_EQ(ReasonOf(nobody.Publish("a", "p1").status()), reason::kNameNotFound);
  TestAgent elsewhere(world_, two_, "alice.agent");
  elsewhere.key = *crypto::SigningKey::FromSeed(alice_.key.seed().view());
  ASSERT_TRUE(elsewhere.Authenticate().ok());
  EXPECT_EQ(ReasonOf(elsewhere.Publish("a", "p1").status()), reason::kBadAddress);

  const std::string old = alice_.SignPublication("a", "p1");
  world_.clock.Advance(kMaxPublicationAge + absl::Seconds(1));
  EXPECT_EQ(ReasonOf(alice_.PublishSigned(old).status()), reason::kStale);
}

TEST_F(TopicsTest, APublicationIsNoLetter) {
  EXPECT_EQ(ReasonOf(alice_.Send(alice_.SignPublication("a", "p1")).status()), reason::kBadMessage);
  EXPECT_EQ(one_->inboxes->size(), 0u);
}

TEST_F(TopicsTest, SentAgainItIsADuplicate) {
  const auto call = carol_.Subscribe("alice.agent", "a");
  const std::string json = alice_.SignPublication("a", "p1");
  ASSERT_TRUE(alice_.PublishSigned(json).ok());
  const auto again = alice_.PublishSigned(json);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->duplicate());
  EXPECT_THAT(Seen(*call), ElementsAre("ready", "p1"));
}

TEST_F(TopicsTest, RefusesWhatIsNoSubscriptionOfTheCallers) {
  ExpectEnded(*bob_.SubscribeSigned(bob_.SignMessage("alice.agent", "m1")), absl::StatusCode::kInvalidArgument,
              reason::kBadMessage);
  ExpectEnded(*bob_.SubscribeSigned(carol_.SignSubscription("alice.agent", "a")), absl::StatusCode::kInvalidArgument,
              reason::kBadSignature);
  ExpectEnded(*bob_.Subscribe("alice.agent", "a.>.b"), absl::StatusCode::kInvalidArgument, reason::kBadMessage);
  ExpectEnded(*bob_.Subscribe("nobody.agent", "a"), absl::StatusCode::kNotFound, reason::kNameNotFound);
  ExpectEnded(*bob_.SubscribeSigned(std::string(5'000, ' ')), absl::StatusCode::kInvalidArgument, reason::kTooLarge);
  TestAgent impostor(world_, *one_, "bob.agent");
  ASSERT_TRUE(impostor.Authenticate().ok());
  ExpectEnded(*impostor.Subscribe("alice.agent", "a"), absl::StatusCode::kPermissionDenied, reason::kKeyMismatch);
  const std::string old = bob_.SignSubscription("alice.agent", "a");
  world_.clock.Advance(kMaxPublicationAge + absl::Seconds(1));
  ExpectEnded(*bob_.SubscribeSigned(old), absl::StatusCode::kFailedPrecondition, reason::kStale);
  bob_.token = "none";
  ExpectEnded(*bob_.Subscribe("alice.agent", "a"), absl::StatusCode::kUnauthenticated, reason::kNotAuthenticated);
}

TEST_F(TopicsTest, ThePublishersPolicyHoldsForAllGateways) {
  gateway::v1::InboxPolicy policy;
  policy.set_mode(gateway::v1::INBOX_MODE_CONTACTS);
  policy.add_contacts("carol.agent");
  ASSERT_TRUE(one_->guard.SetPolicy(*record::Name::Parse("alice.agent"), policy).ok());
  TestAgent dave(world_, two_, "dave.agent");
  dave.Settle();
  ExpectOpen(*carol_.Subscribe("alice.agent", "a"));
  ExpectEnded(*dave.Subscribe("alice.agent", "a"), absl::StatusCode::kPermissionDenied, reason::kNotAContact);
  ExpectEnded(*bob_.Subscribe("alice.agent", "a"), absl::StatusCode::kPermissionDenied, reason::kNotAContact);

  policy.set_mode(gateway::v1::INBOX_MODE_OPEN);
  policy.add_guarded_methods("topics");
  ASSERT_TRUE(one_->guard.SetPolicy(*record::Name::Parse("alice.agent"), policy).ok());
  ExpectEnded(*carol_.Subscribe("alice.agent", "b"), absl::StatusCode::kPermissionDenied, reason::kTokenRequired);
}

TEST_F(TopicsTest, ASlowSubscriberIsToldAndHoldsNobodyUp) {
  const auto slow = bob_.Subscribe("alice.agent", "a");
  const auto quick = bob_.Subscribe("alice.agent", "a");
  slow->stalled = true;
  for (int i = 1; i <= 10; ++i) ASSERT_TRUE(alice_.Publish("a", absl::StrCat("p", i)).ok());
  EXPECT_EQ(quick->events.size(), 11u);
  slow->Resume();
  world_.tasks.Run();
  ASSERT_TRUE(alice_.Publish("a", "p11").ok());
  EXPECT_THAT(Seen(*slow), ElementsAre("ready", "p1", "p2", "p3", "p4", "p5", "missed 5:6-10 1", "p11"));
  EXPECT_THAT(one_->metrics.Render(), HasSubstr("dotagent_gateway_publications_missed_total{by=\"agent\"} 5\n"));
}

TEST_F(TopicsTest, WhatComesInOneTurnGoesOutInOneWrite) {
  const auto call = bob_.Subscribe("alice.agent", "a");
  const int before = call->writes;
  for (int i = 0; i < 3; ++i) {
    gateway::v1::PublishRequest request;
    request.set_message_json(alice_.SignPublication("a", absl::StrCat("p", i)));
    one_->logic->Publish(alice_.token, request, [](const auto& done) { EXPECT_TRUE(done.ok()); });
  }
  world_.tasks.Run();
  EXPECT_THAT(Seen(*call), ElementsAre("ready", "p0", "p1", "p2"));
  EXPECT_EQ(call->writes, before + 1);
}

TEST_F(TopicsTest, LimitsHold) {
  for (int i = 0; i < 3; ++i) ExpectOpen(*bob_.Subscribe("alice.agent", "a"));
  const auto fourth = bob_.Subscribe("alice.agent", "a");
  ExpectEnded(*fourth, absl::StatusCode::kResourceExhausted, reason::kLimit);
  EXPECT_THAT(std::string(fourth->finished->message()), HasSubstr("this agent has 3"));
  TestAgent dave(world_, *one_, "dave.agent");
  dave.Settle();
  for (int i = 0; i < 2; ++i) ExpectOpen(*dave.Subscribe("alice.agent", "a"));
  ExpectEnded(*dave.Subscribe("alice.agent", "a"), absl::StatusCode::kResourceExhausted, reason::kLimit);
}

TEST_F(TopicsTest, NamesThatNobodyHasTakeNoRoom) {
  for (int i = 0; i < 10; ++i) {
    ExpectEnded(*bob_.Subscribe(absl::StrCat("n", i, ".agent"), "a"), absl::StatusCode::kNotFound,
                reason::kNameNotFound);
    Wait(1);
  }
  ExpectOpen(*bob_.Subscribe("alice.agent", "a"));
}

TEST_F(TopicsTest, RevokedKeysLoseSubscriptionsAndPublishing) {
  const auto here = bob_.Subscribe("alice.agent", "a");
  const auto there = carol_.Subscribe("alice.agent", "a");
  world_.revoked.insert(bob_.key.public_key());
  one_->logic->OnRevoked(bob_.key.public_key());
  ExpectEnded(*here, absl::StatusCode::kPermissionDenied, reason::kKeyRevoked);
  // The publishers' gateway knows whose the subscriptions of others are, and does not wait for them.
  world_.revoked.insert(carol_.key.public_key());
  one_->logic->OnRevoked(carol_.key.public_key());
  EXPECT_EQ(alice_.Publish("a", "p1")->gateways(), 0u);
  ExpectEnded(*there, absl::StatusCode::kPermissionDenied, reason::kKeyRevoked);
  EXPECT_EQ(ReasonOf(bob_.Publish("a", "p1").status()), reason::kNotAuthenticated);
}

TEST_F(TopicsTest, WhatARevokedKeySignsReachesNobodyElsewhere) {
  const auto call = carol_.Subscribe("alice.agent", "a");
  const std::string json = alice_.SignPublication("a", "p1");
  // Revoked between the two gateways.
  gateway::v1::PublishRequest request;
  request.set_message_json(json);
  one_->logic->Publish(alice_.token, request, [&](const auto& done) {
    EXPECT_TRUE(done.ok());
    world_.revoked.insert(alice_.key.public_key());
  });
  world_.tasks.Run();
  EXPECT_THAT(Seen(*call), ElementsAre("ready"));
  EXPECT_THAT(two_.metrics.Render(), HasSubstr("dotagent_gateway_publications_total{outcome=\"forged\"} 1\n"));
}

TEST_F(TopicsTest, ABrokenLinkComesBackAndTheGapIsTold) {
  const auto call = carol_.Subscribe("alice.agent", "a");
  ASSERT_TRUE(alice_.Publish("a", "p1").ok());
  for (const auto& pipe : world_.trunks.pipes) pipe->Break();
  world_.tasks.Run();
  ASSERT_TRUE(alice_.Publish("a", "p2").ok());
  ASSERT_TRUE(alice_.Publish("other", "p3").ok());
  Wait(3);
  EXPECT_EQ(two_.trunk.dialled, 2);
  ASSERT_TRUE(alice_.Publish("a", "p4").ok());
  EXPECT_THAT(Seen(*call), ElementsAre("ready", "p1", "missed 2:2-3 3", "p4"));
  EXPECT_FALSE(call->finished);

  for (const auto& pipe : world_.trunks.pipes) pipe->Break();
  world_.tasks.Run();
  Wait(3);
  ASSERT_TRUE(alice_.Publish("a", "p5").ok());
  EXPECT_THAT(Seen(*call), ElementsAre("ready", "p1", "missed 2:2-3 3", "p4", "p5")) << "nothing was missed";
}

TEST_F(TopicsTest, APublishersGatewayThatRestartsBeginsAnew) {
  const auto call = carol_.Subscribe("alice.agent", "a");
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(alice_.Publish("a", absl::StrCat("p", i)).ok());
  crypto::SigningKey key = *crypto::SigningKey::FromSeed(one_->key.seed().view());
  for (const auto& pipe : world_.trunks.pipes) pipe->Break();
  world_.trunks.Leave(key.public_key());
  world_.tasks.Run();
  const int dialled = two_.trunk.dialled;
  Wait(300);
  EXPECT_GT(two_.trunk.dialled, dialled + 5);
  EXPECT_LT(two_.trunk.dialled, dialled + 25) << "with growing pauses";

  one_->logic->Drain();
  TestGateway again(world_, 8, {}, kSmall, std::move(key));
  TestAgent alice(world_, again, "alice.agent");
  alice.key = *crypto::SigningKey::FromSeed(alice_.key.seed().view());
  ASSERT_TRUE(alice.Authenticate().ok());
  for (int i = 0; i < 31; ++i) {
    world_.clock.Advance(absl::Seconds(1));
    two_.logic->Tick();
    world_.tasks.Run();
  }
  ASSERT_TRUE(alice.Publish("a", "q1").ok());
  EXPECT_THAT(Seen(*call), ElementsAre("ready", "p1", "p2", "p3", "missed 0:0-0 4", "q1"));
  EXPECT_EQ(call->events.back().publication().sequence(), 1u);
}

TEST_F(TopicsTest, AGatewayThatIsNotReachedIsTold) {
  world_.trunks.Leave(one_->key.public_key());
  ExpectEnded(*carol_.Subscribe("alice.agent", "a"), absl::StatusCode::kUnavailable, reason::kUnreachable);
}

TEST_F(TopicsTest, SubscribersFollowAPublisherWhoMoves) {
  const auto far = carol_.Subscribe("alice.agent", "a");
  const auto near = bob_.Subscribe("alice.agent", "a");
  ASSERT_TRUE(alice_.Publish("a", "p1").ok());
  TestAgent moved(world_, two_, "alice.agent");
  moved.key = *crypto::SigningKey::FromSeed(alice_.key.seed().view());
  world_.clock.Advance(absl::Seconds(10));
  moved.Settle();
  ASSERT_TRUE(moved.Publish("a", "p2").ok());
  Wait(70);
  ASSERT_TRUE(moved.Publish("a", "p3").ok());
  EXPECT_THAT(Seen(*far).back(), "p3");
  EXPECT_THAT(Seen(*near).back(), "p3");
  EXPECT_THAT(Seen(*near)[2], HasSubstr("missed"));
  EXPECT_EQ(ReasonOf(alice_.Publish("a", "p4").status()), reason::kBadAddress);
}

}  // namespace
}  // namespace dotagent::gateway_service
