// Durable subscriptions, over one gateway and two: what comes while the subscriber is away waits for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/gateway/topics_fixture.h"

namespace dotagent::gateway_service {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DurableTopicsTest : public TopicsFixture {
 protected:
  static std::shared_ptr<SubscribeCall> Subscribe(TestAgent& agent, const std::string& durable = "d",
                                                  const std::string& pattern = "prices.>") {
    return agent.SubscribeSigned(agent.SignSubscription("alice.agent", pattern), "", durable);
  }
  absl::Status Ack(TestAgent& agent, uint64_t cursor, const std::string& durable = "d") {
    gateway::v1::AckPublicationsRequest request;
    request.set_name(agent.name);
    request.set_durable_name(durable);
    request.set_cursor(cursor);
    absl::Status status = absl::UnknownError("not answered");
    agent.gateway.logic->AckPublications(agent.token, request, [&](const auto& done) { status = done.status(); });
    world_.tasks.Run();
    return status;
  }
  static uint64_t LastCursor(const SubscribeCall& call) { return call.events.back().publication().cursor(); }
  void Leave(const std::shared_ptr<SubscribeCall>& call) {
    call->Cancel();
    world_.tasks.Run();
  }
};

TEST_F(DurableTopicsTest, WhatComesWhileTheSubscriberIsAwayWaits) {
  for (TestAgent* agent : {&bob_, &carol_}) {
    const std::string id = agent->name.substr(0, agent->name.find('.'));
    auto call = Subscribe(*agent);
    EXPECT_THAT(Seen(*call), ElementsAre("ready"));
    Leave(call);
    ASSERT_TRUE(alice_.Publish("prices.eu", id + "1").ok());
    ASSERT_TRUE(alice_.Publish("news", id + "2").ok());
    ASSERT_TRUE(alice_.Publish("prices.us", id + "3").ok());
    world_.tasks.Run();
    call = Subscribe(*agent);
    EXPECT_THAT(Seen(*call), ElementsAre("ready", id + "1", id + "3"));
    // Again, until it is acknowledged; and live.
    Leave(call);
    call = Subscribe(*agent);
    ASSERT_TRUE(alice_.Publish("prices.uk", id + "4").ok());
    world_.tasks.Run();
    EXPECT_THAT(Seen(*call), ElementsAre("ready", id + "1", id + "3", id + "4"));
    ASSERT_EQ(Ack(*agent, LastCursor(*call)), absl::OkStatus());
    Leave(call);
    EXPECT_THAT(Seen(*Subscribe(*agent)), ElementsAre("ready"));
  }
}

TEST_F(DurableTopicsTest, ItOutlivesItsGatewaysProcess) {
  Leave(Subscribe(bob_));
  ASSERT_TRUE(alice_.Publish("prices.eu", "before").ok());
  auto disk = one_->store;
  const crypto::SigningKey key = *crypto::SigningKey::FromSeed(one_->key.seed().view());
  bob_.token.clear();
  one_.reset();
  TestGateway again(world_, 8, InboxLimits(), TopicLimits(), *crypto::SigningKey::FromSeed(key.seed().view()),
                    AdmissionLimits(), disk);
  TestAgent alice(world_, again, "alice.agent");
  alice.key = *crypto::SigningKey::FromSeed(alice_.key.seed().view());
  TestAgent bob(world_, again, "bob.agent");
  bob.key = *crypto::SigningKey::FromSeed(bob_.key.seed().view());
  // From the first publication on, before anything ticks.
  ASSERT_TRUE(alice.Authenticate().ok());
  ASSERT_TRUE(alice.Publish("prices.eu", "after").ok());
  for (int i = 0; i < 10; ++i) {
    world_.clock.Advance(absl::Seconds(1));
    again.logic->Tick();
    world_.tasks.Run();
  }
  ASSERT_TRUE(alice.Publish("prices.eu", "later").ok());
  ASSERT_TRUE(bob.Authenticate().ok());
  EXPECT_THAT(Seen(*Subscribe(bob)), ElementsAre("ready", "before", "after", "later"));
}

TEST_F(DurableTopicsTest, TheOldestAreNotKeptAndTheSubscriberIsTold) {
  Leave(Subscribe(bob_));
  for (int i = 1; i <= 10; ++i) ASSERT_TRUE(alice_.Publish("prices.eu", absl::StrCat("p", i)).ok());  // 8 are kept
  auto call = Subscribe(bob_);
  EXPECT_THAT(Seen(*call), ElementsAre("ready", "missed 2:0-0 5", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10"));
  Leave(call);
  call = Subscribe(bob_);
  EXPECT_EQ(Seen(*call)[1], "missed 2:0-0 5");  // until something is acknowledged
  ASSERT_EQ(Ack(bob_, LastCursor(*call)), absl::OkStatus());
  Leave(call);
  EXPECT_THAT(Seen(*Subscribe(bob_)), ElementsAre("ready"));
}

TEST_F(DurableTopicsTest, ANewerCallTakesOver) {
  const auto older = Subscribe(bob_);
  const auto newer = Subscribe(bob_);
  EXPECT_EQ(ReasonOf(*older->finished), reason::kSuperseded);
  ASSERT_TRUE(alice_.Publish("prices.eu", "p1").ok());
  world_.tasks.Run();
  EXPECT_THAT(Seen(*older), ElementsAre("ready"));
  EXPECT_THAT(Seen(*newer), ElementsAre("ready", "p1"));
}

TEST_F(DurableTopicsTest, ANameStandsForOneSubscription) {
  Leave(Subscribe(bob_));
  const auto other = Subscribe(bob_, "d", "news");
  EXPECT_TRUE(absl::IsAlreadyExists(*other->finished)) << *other->finished;
  EXPECT_EQ(ReasonOf(*Subscribe(bob_, "no/name")->finished), reason::kBadMessage);
  EXPECT_EQ(ReasonOf(Ack(bob_, 1)), reason::kStale);
  EXPECT_TRUE(absl::IsNotFound(Ack(bob_, 1, "another")));
  EXPECT_EQ(ReasonOf(Ack(carol_, 1)), reason::kStale);
}

TEST_F(DurableTopicsTest, IsListedAndEnds) {
  auto call = Subscribe(bob_);
  ASSERT_TRUE(alice_.Publish("prices.eu", "p1").ok());
  const auto list = [&] {
    gateway::v1::ListSubscriptionsResponse listed;
    one_->logic->ListSubscriptions(bob_.token, [&](const auto& response) { listed = *response; });
    return listed;
  };
  ASSERT_EQ(list().subscriptions_size(), 1);
  const gateway::v1::DurableSubscription one = list().subscriptions(0);
  EXPECT_EQ(one.name(), "bob.agent");
  EXPECT_EQ(one.durable_name(), "d");
  EXPECT_EQ(one.publisher(), "alice.agent");
  EXPECT_EQ(one.pattern(), "prices.>");
  EXPECT_EQ(one.waiting(), 1u);
  EXPECT_TRUE(one.open());
  gateway::v1::UnsubscribeRequest request;
  request.set_name("bob.agent");
  request.set_durable_name("d");
  absl::Status ended = absl::UnknownError("not answered");
  one_->logic->Unsubscribe(bob_.token, request, [&](const auto& done) { ended = done.status(); });
  world_.tasks.Run();
  EXPECT_EQ(ended, absl::OkStatus());
  EXPECT_TRUE(call->finished);
  EXPECT_EQ(list().subscriptions_size(), 0);
  ASSERT_TRUE(alice_.Publish("prices.eu", "p2").ok());
  EXPECT_THAT(Seen(*Subscribe(bob_)), ElementsAre("ready"));
}

TEST_F(DurableTopicsTest, ARevokedKeysSubscriptionsEnd) {
  Leave(Subscribe(bob_));
  world_.revoked.insert(bob_.key.public_key());
  one_->logic->OnRevoked(bob_.key.public_key());
  world_.tasks.Run();
  EXPECT_THAT(one_->durable->List(nullptr), IsEmpty());
}

// What waits is the new key's, under the same name; it subscribes anew, and is told of what came in between.
TEST_F(DurableTopicsTest, WhatWaitsFollowsARotatedKey) {
  for (TestAgent* agent : {&bob_, &carol_}) {
    const std::string id = agent->name.substr(0, agent->name.find('.'));
    Leave(Subscribe(*agent));
    ASSERT_TRUE(alice_.Publish("prices.eu", id + "1").ok());
    world_.tasks.Run();
    TestAgent heir(world_, agent->gateway, agent->name);
    ASSERT_TRUE(heir.Authenticate().ok());
    ASSERT_TRUE(heir.Register(heir.MakeRecord({agent->gateway.address()})->json(),
                              {.rotation_chain = RotationFrom(*agent, heir)})
                    .ok());
    EXPECT_THAT(agent->gateway.durable->List(&agent->key.public_key()), IsEmpty());
    ASSERT_EQ(agent->gateway.durable->List(&heir.key.public_key()).size(), 1u);
    ASSERT_TRUE(alice_.Publish("prices.eu", id + "2").ok());  // nobody follows it
    gateway::v1::ListSubscriptionsResponse listed;
    agent->gateway.logic->ListSubscriptions(heir.token, [&](const auto& response) { listed = *response; });
    ASSERT_EQ(listed.subscriptions_size(), 1);
    EXPECT_EQ(listed.subscriptions(0).pattern(), "prices.>");

    const auto call = Subscribe(heir);
    EXPECT_FALSE(call->finished) << *call->finished;
    ASSERT_TRUE(alice_.Publish("prices.eu", id + "3").ok());
    world_.tasks.Run();
    EXPECT_THAT(Seen(*call), ElementsAre("ready", id + "1", testing::StartsWith("missed"), id + "3"));
  }
}

}  // namespace
}  // namespace dotagent::gateway_service
