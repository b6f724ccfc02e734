// Subscriptions that a capability token allowed: they end with it, at whichever gateway the subscriber is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/base/status.h"
#include "common/capability/token.h"
#include "common/capability/token_revocation.h"
#include "tests/unit/gateway/topics_fixture.h"

namespace dotagent::gateway_service {
namespace {

using ::testing::ElementsAre;

class TopicTokensTest : public TopicsFixture {
 protected:
  void SetUp() override {
    TopicsFixture::SetUp();
    gateway::v1::InboxPolicy policy;
    policy.set_mode(gateway::v1::INBOX_MODE_OPEN);
    policy.add_guarded_methods("topics");
    ASSERT_TRUE(one_->guard.SetPolicy(*record::Name::Parse("alice.agent"), policy).ok());
  }

  std::string Issue(const crypto::PublicKey& audience, absl::Duration life = absl::Hours(1), uint64_t uses = 0) {
    return capability::IssueToken(alice_.key,
                                  {.audience = audience,
                                   .resource = "agent://alice.agent/topics",
                                   .actions = {"call"},
                                   .not_before = world_.clock.Now() - absl::Minutes(1),
                                   .expires = world_.clock.Now() + life,
                                   .max_uses = uses},
                                  world_.random.Bytes(16))
        .value();
  }
  // Alice's gateway hears of it, as identity tells all.
  void Revoke(const std::string& token, size_t block, const crypto::SigningKey& signer) {
    const std::string statement =
        capability::SignTokenRevocation(signer, capability::VerifyToken(token)->blocks()[block].id, "",
                                        world_.clock.Now())
            .value();
    one_->logic->OnTokenRevoked(*capability::VerifyTokenRevocation(statement, world_.clock.Now()));
    world_.tasks.Run();
  }
  static std::shared_ptr<SubscribeCall> Subscribe(TestAgent& who, const std::string& token,
                                                  const std::string& durable = "") {
    auto call = who.SubscribeSigned(who.SignSubscription("alice.agent", ">"), token, durable);
    EXPECT_FALSE(call->finished) << *call->finished;
    return call;
  }
  static std::string ReasonFor(const SubscribeCall& call) {
    return call.finished ? std::string(ReasonOf(*call.finished)) : "still open";
  }
};

TEST_F(TopicTokensTest, ASubscriptionEndsWhenItsTokenIsTakenBack) {
  const std::string bobs = Issue(bob_.key.public_key());
  const std::string carols = Issue(carol_.key.public_key());
  const auto here = Subscribe(bob_, bobs);
  const auto there = Subscribe(carol_, carols);
  const auto by_another = Subscribe(carol_, Issue(carol_.key.public_key()));
  ASSERT_TRUE(alice_.Publish("a", "p1").ok());
  Revoke(bobs, 0, carol_.key);
  EXPECT_EQ(ReasonFor(*here), "still open") << "what a stranger revokes says nothing";

  Revoke(bobs, 0, alice_.key);
  EXPECT_EQ(ReasonFor(*here), reason::kTokenRevoked);
  EXPECT_EQ(ReasonFor(*there), "still open");
  Revoke(carols, 0, alice_.key);
  EXPECT_EQ(ReasonFor(*there), reason::kTokenRevoked);
  EXPECT_EQ(ReasonFor(*by_another), "still open");

  ASSERT_TRUE(alice_.Publish("a", "p2").ok());
  EXPECT_THAT(Seen(*here), ElementsAre("ready", "p1"));
  EXPECT_THAT(Seen(*there), ElementsAre("ready", "p1"));
  EXPECT_THAT(Seen(*by_another), ElementsAre("ready", "p1", "p2"));
}

// Alice allows Dave, Dave allows Bob and Carol; then Dave's key is revoked.
TEST_F(TopicTokensTest, ASubscriptionEndsWithAnyKeyOfItsToken) {
  TestAgent dave(world_, *one_, "dave.agent");
  dave.Settle();
  const std::string root = Issue(dave.key.public_key());
  const auto delegate = [&](const TestAgent& to) {
    return capability::DelegateToken(root, dave.key,
                                     {.audience = to.key.public_key(),
                                      .resource = "agent://alice.agent/topics",
                                      .actions = {"call"},
                                      .not_before = world_.clock.Now() - absl::Minutes(1),
                                      .expires = world_.clock.Now() + absl::Minutes(30)},
                                     world_.random.Bytes(16))
        .value();
  };
  const auto here = Subscribe(bob_, delegate(bob_));
  const auto there = Subscribe(carol_, delegate(carol_));
  world_.revoked.insert(dave.key.public_key());
  one_->logic->OnRevoked(dave.key.public_key());
  world_.tasks.Run();
  EXPECT_EQ(ReasonFor(*here), reason::kKeyRevoked);
  EXPECT_EQ(ReasonFor(*there), reason::kKeyRevoked);
}

TEST_F(TopicTokensTest, ASubscriptionEndsWhenItsTokensTimeIsUp) {
  const auto here = Subscribe(bob_, Issue(bob_.key.public_key(), absl::Minutes(2)));
  const auto there = Subscribe(carol_, Issue(carol_.key.public_key(), absl::Minutes(2)));
  Wait(110);
  EXPECT_EQ(ReasonFor(*here), "still open");
  EXPECT_EQ(ReasonFor(*there), "still open");
  Wait(20);
  EXPECT_EQ(ReasonFor(*here), reason::kStale);
  EXPECT_EQ(ReasonFor(*there), reason::kStale);
}

// Counting a use takes a while.
TEST_F(TopicTokensTest, ATokenThatIsTakenBackMeanwhileAllowsNothing) {
  world_.redeemer.uses = 2;
  for (TestAgent* who : {&bob_, &carol_}) {
    const std::string token = Issue(who->key.public_key(), absl::Hours(1), 1);
    const std::string statement =
        capability::SignTokenRevocation(alice_.key, capability::VerifyToken(token)->last().id, "", world_.clock.Now())
            .value();
    world_.redeemer.before_answer = [&] {
      one_->logic->OnTokenRevoked(*capability::VerifyTokenRevocation(statement, world_.clock.Now()));
    };
    const auto call = who->SubscribeSigned(who->SignSubscription("alice.agent", ">"), token);
    EXPECT_EQ(ReasonFor(*call), reason::kTokenRevoked) << who->name;
  }
}

// What was kept for who is not to read it any more goes with it.
TEST_F(TopicTokensTest, ADurableSubscriptionGoesWithATokenThatIsTakenBack) {
  const std::string token = Issue(bob_.key.public_key());
  const auto call = Subscribe(bob_, token, "kept");
  call->Cancel();
  world_.tasks.Run();
  ASSERT_TRUE(alice_.Publish("a", "p1").ok());
  world_.tasks.Run();
  EXPECT_EQ(one_->durable->List(nullptr).size(), 1u);
  Revoke(token, 0, alice_.key);
  EXPECT_TRUE(one_->durable->List(nullptr).empty());
  EXPECT_THAT(Seen(*Subscribe(bob_, Issue(bob_.key.public_key()), "kept")), ElementsAre("ready"));
}

// A new token goes on with the same one, and its holder is told that something is missing.
TEST_F(TopicTokensTest, ADurableSubscriptionWaitsForANewTokenWhenTheTimeOfItsOwnIsUp) {
  auto call = Subscribe(bob_, Issue(bob_.key.public_key(), absl::Minutes(2)), "kept");
  ASSERT_TRUE(alice_.Publish("a", "p1").ok());
  Wait(130);
  EXPECT_EQ(ReasonFor(*call), reason::kStale);
  ASSERT_TRUE(alice_.Publish("a", "p2").ok());
  world_.tasks.Run();
  call = Subscribe(bob_, Issue(bob_.key.public_key()), "kept");
  ASSERT_TRUE(alice_.Publish("a", "p3").ok());
  world_.tasks.Run();
  EXPECT_THAT(Seen(*call), ElementsAre("ready", "p1", testing::StartsWith("missed"), "p3"));
}

}  // namespace
}  // namespace dotagent::gateway_service
