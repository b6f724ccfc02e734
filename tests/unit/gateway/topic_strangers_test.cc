// Links for topics whose other end is no gateway of ours: whatever it says, nothing is believed that does not verify.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "common/abuse/refusal.h"
#include "common/base/varint.h"
#include "services/gateway/topics.h"
#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {
namespace {

using ::testing::HasSubstr;

class TopicStrangersTest : public testing::Test {
 protected:
  void SetUp() override {
    alice_.Settle();
    bob_.Settle();
  }

  [[nodiscard]] std::string StrangersAddress() const {
    return absl::StrCat("/ip4/127.0.0.1/tcp/4001/p2p/", crypto::PeerIdFromKey(stranger_.public_key()));
  }

  // The next message that the stranger's end of a link brings.
  template <typename Message>
  [[nodiscard]] Message Next(const std::shared_ptr<Pipe>& pipe) {
    Message message;
    for (;;) {
      const auto bytes = TakeLengthPrefixed(&received_, 100'000);
      if (bytes.ok() && *bytes) {
        EXPECT_TRUE(message.ParseFromString(**bytes));
        return message;
      }
      const auto read = std::make_shared<absl::StatusOr<std::string>>(absl::UnknownError("nothing came"));
      pipe->Read([read](absl::StatusOr<std::string> chunk) { *read = std::move(chunk); });
      world_.tasks.Run();
      EXPECT_TRUE(read->ok()) << read->status();
      if (!read->ok()) return message;
      received_ += **read;
    }
  }
  template <typename Message>
  void Say(const std::shared_ptr<Pipe>& pipe, const Message& message) {
    pipe->Write(WithLength(message.SerializeAsString()), [](const absl::Status&) {});
    world_.tasks.Run();
  }

  // What becomes of a subscription that the stranger hands over.
  [[nodiscard]] trunk::v1::TopicsVerdict Add(const std::string& json, const crypto::PublicKey& key) {
    trunk::v1::TopicsRequest request;
    request.mutable_add()->set_id(++last_id_);
    request.mutable_add()->set_message_json(json);
    request.mutable_add()->set_subscriber_key(std::string(key.bytes()));
    Say(pipe_, request);
    const auto event = Next<trunk::v1::TopicsEvent>(pipe_);
    EXPECT_EQ(event.verdict().id(), last_id_);
    return event.verdict();
  }
  void OpenLink() {
    trunk_.OpenTopics({home_.key.public_key(), {}},
                      [this](const absl::StatusOr<std::shared_ptr<Pipe>>& pipe) { pipe_ = *pipe; });
    world_.tasks.Run();
    ASSERT_NE(pipe_, nullptr);
  }

  World world_;
  TestGateway home_{world_};
  TestAgent alice_{world_, home_, "alice.agent"};
  TestAgent bob_{world_, home_, "bob.agent"};
  const crypto::SigningKey stranger_ = crypto::SigningKey::Generate(world_.random);
  FakeTrunk trunk_{world_.trunks, stranger_.public_key()};
  std::shared_ptr<Pipe> pipe_;  // the stranger's end
  std::string received_;
  uint64_t last_id_ = 0;
};

TEST_F(TopicStrangersTest, NobodySubscribesForOthers) {
  OpenLink();
  const std::string good = bob_.SignSubscription("alice.agent", "a");
  EXPECT_EQ(Add(good, alice_.key.public_key()).reason(), reason::kBadSignature);
  EXPECT_EQ(Add(bob_.SignMessage("alice.agent", "m1"), bob_.key.public_key()).reason(), reason::kBadMessage);
  TestAgent impostor(world_, home_, "bob.agent");
  EXPECT_EQ(Add(impostor.SignSubscription("alice.agent", "a"), impostor.key.public_key()).reason(),
            reason::kKeyMismatch);
  TestAgent away(world_, home_, "away.agent");
  ASSERT_TRUE(away.Authenticate().ok());
  world_.directory.Publish(away.MakeRecord({StrangersAddress()})->json(), {}, [](const auto&) {});
  EXPECT_EQ(Add(bob_.SignSubscription("away.agent", "a"), bob_.key.public_key()).reason(), reason::kBadAddress);
  EXPECT_EQ(alice_.Publish("a", "p1")->gateways(), 0u);

  EXPECT_EQ(Add(good, bob_.key.public_key()).code(), 0);
  EXPECT_EQ(alice_.Publish("a", "p2")->gateways(), 1u);
  EXPECT_EQ(Next<trunk::v1::TopicsEvent>(pipe_).publication().sequence(), 2u);
  world_.clock.Advance(kMaxSubscriptionAge + absl::Seconds(1));
  EXPECT_EQ(Add(good, bob_.key.public_key()).reason(), reason::kStale);
}

// A gateway pays for the signatures that are checked for it.
TEST_F(TopicStrangersTest, SubscriptionsAreChargedToTheirGateway) {
  TestGateway strict(world_, 8, {}, {}, std::nullopt,
                     {.gateways = {.rate = {.per_second = 1, .burst = call_cost::kStream + 3}}});
  TestAgent dave(world_, strict, "dave.agent");
  dave.Settle();
  trunk_.OpenTopics({strict.key.public_key(), {}},
                    [this](const absl::StatusOr<std::shared_ptr<Pipe>>& pipe) { pipe_ = *pipe; });
  world_.tasks.Run();
  const std::string good = bob_.SignSubscription("dave.agent", "a");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Add(good, bob_.key.public_key()).code(), 0);
  const auto refused = Add(good, bob_.key.public_key());
  EXPECT_EQ(refused.reason(), abuse::kRateLimited);
  EXPECT_EQ(refused.retry_after_ms(), 1000u);
  world_.clock.Advance(absl::Seconds(1));
  EXPECT_EQ(Add(good, bob_.key.public_key()).code(), 0);
}

TEST_F(TopicStrangersTest, AnIdThatIsInUseEndsTheLink) {
  OpenLink();
  const std::string good = bob_.SignSubscription("alice.agent", "a");
  ASSERT_EQ(Add(good, bob_.key.public_key()).code(), 0);
  trunk::v1::TopicsRequest again;
  again.mutable_add()->set_id(last_id_);
  Say(pipe_, again);
  EXPECT_EQ(alice_.Publish("a", "p1")->gateways(), 0u);
}

TEST_F(TopicStrangersTest, ASlowLinkMissesAndIsToldPublisherByPublisher) {
  OpenLink();
  TestAgent dave(world_, home_, "dave.agent");
  dave.Settle();
  ASSERT_EQ(Add(bob_.SignSubscription("alice.agent", ">"), bob_.key.public_key()).code(), 0);
  ASSERT_EQ(Add(bob_.SignSubscription("dave.agent", ">"), bob_.key.public_key()).code(), 0);
  // The stranger does not read: a write waits until it does.
  constexpr int kMany = 4'200;
  for (int i = 1; i <= kMany; ++i) ASSERT_TRUE(alice_.Publish("a", absl::StrCat("p", i)).ok());
  ASSERT_TRUE(dave.Publish("a", "d1").ok());
  uint64_t of_alice = 0;
  uint64_t missed = 0;
  bool of_dave = false;
  while (of_alice + missed < kMany || !of_dave) {
    const auto event = Next<trunk::v1::TopicsEvent>(pipe_);
    ASSERT_NE(event.event_case(), trunk::v1::TopicsEvent::EVENT_NOT_SET) << of_alice << " and " << missed;
    if (event.has_missed()) {
      EXPECT_EQ(event.missed().publisher(), "alice.agent");
      EXPECT_EQ(event.missed().count(), event.missed().last_sequence() - event.missed().first_sequence() + 1);
      missed += event.missed().count();
    } else if (event.publication().message_json().find("dave.agent") != std::string::npos) {
      of_dave = true;
    } else {
      ++of_alice;
    }
  }
  EXPECT_GT(missed, 0u);
  EXPECT_EQ(of_alice + missed, static_cast<uint64_t>(kMany));
}

// The stranger says that publishers live with it.
class LyingHomeTest : public TopicStrangersTest {
 protected:
  void SetUp() override {
    TopicStrangersTest::SetUp();
    world_.directory.Publish(dave_.MakeRecord({StrangersAddress()})->json(), {}, [](const auto&) {});
    world_.trunks.Join(stranger_.public_key(),
                       {.topics = [this](const crypto::PublicKey&, std::shared_ptr<Pipe> pipe) { pipe_ = pipe; }});
    world_.tasks.Run();
    call_ = bob_.Subscribe("dave.agent", "a");
    ASSERT_NE(pipe_, nullptr);
    const auto request = Next<trunk::v1::TopicsRequest>(pipe_);
    trunk::v1::TopicsEvent event;
    event.mutable_verdict()->set_id(request.add().id());
    event.mutable_verdict()->set_epoch(7);
    Say(pipe_, event);
    ASSERT_EQ(call_->events.size(), 1u);
  }

  void Claim(uint64_t sequence, const std::string& json, const crypto::PublicKey& key) {
    trunk::v1::TopicsEvent event;
    event.mutable_publication()->set_sequence(sequence);
    event.mutable_publication()->set_message_json(json);
    event.mutable_publication()->set_sender_key(std::string(key.bytes()));
    Say(pipe_, event);
  }

  TestAgent dave_{world_, home_, "dave.agent"};
  std::shared_ptr<SubscribeCall> call_;
};

TEST_F(LyingHomeTest, OnlyWhatVerifiesReachesSubscribers) {
  TestAgent impostor(world_, home_, "dave.agent");
  Claim(1, impostor.SignPublication("a", "p1"), impostor.key.public_key());
  Claim(2, dave_.SignPublication("a", "p2"), impostor.key.public_key());
  Claim(3, bob_.SignPublication("a", "p3"), bob_.key.public_key());
  EXPECT_EQ(call_->events.size(), 1u);
  const std::string good = dave_.SignPublication("a", "p4");
  Claim(4, good, dave_.key.public_key());
  EXPECT_EQ(call_->events.size(), 2u);
  Claim(5, good, dave_.key.public_key());
  EXPECT_EQ(call_->events.size(), 2u) << "a second time";
  const std::string old = dave_.SignPublication("a", "p6");
  world_.clock.Advance(kMaxPublicationAge + absl::Seconds(1));
  Claim(6, old, dave_.key.public_key());
  EXPECT_EQ(call_->events.size(), 2u) << "too late";
  EXPECT_FALSE(call_->finished);
  EXPECT_THAT(home_.metrics.Render(), HasSubstr("dotagent_gateway_publications_total{outcome=\"forged\"} 3\n"));
}

TEST_F(LyingHomeTest, NumbersThatDoNotRiseEndTheLink) {
  Claim(4, dave_.SignPublication("a", "p4"), dave_.key.public_key());
  Claim(4, dave_.SignPublication("a", "p5"), dave_.key.public_key());
  Claim(5, dave_.SignPublication("a", "p6"), dave_.key.public_key());
  EXPECT_EQ(call_->events.size(), 2u);
  EXPECT_FALSE(call_->finished) << "it is dialled again";
}

TEST_F(LyingHomeTest, ForgeriesWithoutEndEndTheLink) {
  TestAgent impostor(world_, home_, "dave.agent");
  for (int i = 1; i <= kMaxForgeries; ++i) {
    Claim(i, impostor.SignPublication("a", absl::StrCat("p", i)), impostor.key.public_key());
  }
  Claim(100, dave_.SignPublication("a", "good"), dave_.key.public_key());
  EXPECT_EQ(call_->events.size(), 1u);
  EXPECT_FALSE(call_->finished);
}

TEST_F(LyingHomeTest, SilenceEndsTheLink) {
  const int dialled = home_.trunk.dialled;
  for (int i = 0; i < 40; ++i) {
    world_.clock.Advance(absl::Seconds(1));
    home_.logic->Tick();
    world_.tasks.Run();
  }
  EXPECT_GT(home_.trunk.dialled, dialled);
}

}  // namespace
}  // namespace dotagent::gateway_service
