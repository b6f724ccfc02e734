// What one agent can take of a gateway through its Inbox calls, however it behaves: so much and no more.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "services/gateway/gateway.h"
#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {
namespace {

class InboxBoundsTest : public testing::Test {
 protected:
  void SetUp() override {
    alice_.Settle();
    bob_.Settle();
  }

  // A call that has said nothing yet.
  std::shared_ptr<InboxCall> Begin(const TestAgent& agent) {
    auto call = std::make_shared<InboxCall>(world_.tasks);
    agent.gateway.logic->Inbox(agent.token, call);
    world_.tasks.Run();
    return call;
  }
  void SayOpen(const TestAgent& agent, InboxCall& call) {
    gateway::v1::InboxRequest open;
    open.mutable_open()->set_name(agent.name);
    open.mutable_open()->set_accept_requests(true);
    call.Send(open);
    world_.tasks.Run();
  }
  void Pass(absl::Duration time) {
    world_.clock.Advance(time);
    home_.logic->Tick();
    world_.tasks.Run();
  }
  static std::string ReasonFor(const InboxCall& call) {
    return call.finished ? std::string(ReasonOf(*call.finished)) : "still open";
  }

  World world_;
  TestGateway home_{world_};
  TestAgent alice_{world_, home_, "alice.agent"};
  TestAgent bob_{world_, home_, "bob.agent"};
};

TEST_F(InboxBoundsTest, AnInboxThatNeverOpensEnds) {
  const auto silent = Begin(bob_);
  const auto late = Begin(bob_);
  Pass(kMaxSilenceBeforeOpen - absl::Seconds(1));
  SayOpen(bob_, *late);
  EXPECT_EQ(ReasonFor(*silent), "still open");
  Pass(absl::Seconds(2));
  EXPECT_EQ(ReasonFor(*silent), reason::kProtocol);
  EXPECT_TRUE(absl::IsDeadlineExceeded(*silent->finished));
  Pass(absl::Minutes(5));
  EXPECT_EQ(ReasonFor(*late), "still open");
}

TEST_F(InboxBoundsTest, AnAgentHasSoManyInboxCalls) {
  std::vector<std::shared_ptr<InboxCall>> calls;
  for (size_t i = 0; i < kMaxInboxCallsPerAgent; ++i) calls.push_back(Begin(bob_));
  const auto refused = Begin(bob_);
  EXPECT_EQ(ReasonFor(*refused), reason::kLimit);
  EXPECT_EQ(ReasonFor(*Begin(alice_)), "still open") << "another agent has its own";
  calls.front()->Cancel();
  world_.tasks.Run();
  EXPECT_EQ(ReasonFor(*Begin(bob_)), "still open");
}

// One that is superseded makes room.
TEST_F(InboxBoundsTest, AnAgentThatComesBackAgainAndAgainIsServed) {
  std::vector<std::shared_ptr<InboxCall>> calls;
  for (size_t i = 0; i < 2 * kMaxInboxCallsPerAgent; ++i) {
    calls.push_back(bob_.OpenInbox());
    ASSERT_EQ(ReasonFor(*calls.back()), "still open") << i;
  }
}

TEST_F(InboxBoundsTest, SoManyBytesAreOutUnacknowledged) {
  const std::string large(record::kMaxAttachmentSize, 'x');
  const size_t fit = kMaxUnackedBytes / large.size();
  ASSERT_LT(fit, kMaxUnacked);
  for (size_t i = 0; i < fit + 2; ++i) {
    ASSERT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", absl::StrCat("m", i), large), large).ok());
  }
  const auto inbox = bob_.OpenInbox();
  ASSERT_EQ(inbox->received.size(), 1 + fit);
  gateway::v1::InboxRequest ack;
  ack.mutable_ack()->add_sequences(inbox->received[1].message().sequence());
  inbox->Send(ack);
  world_.tasks.Run();
  EXPECT_EQ(inbox->received.size(), 2 + fit);
}

TEST_F(InboxBoundsTest, SoManyOffersWait) {
  TestGateway many(world_, /*max_channels=*/256);
  TestAgent caller(world_, many, "caller.agent");
  caller.Settle();
  const auto inbox = bob_.OpenInbox();
  inbox->stalled = true;
  std::vector<std::shared_ptr<ChannelCall>> calls;
  // One is being written.
  for (size_t i = 0; i <= kMaxOffers; ++i) {
    calls.push_back(caller.Call("bob.agent"));
    ASSERT_FALSE(calls.back()->finished) << i << ": " << *calls.back()->finished;
  }
  const auto refused = caller.Call("bob.agent");
  ASSERT_TRUE(refused->finished);
  EXPECT_EQ(ReasonOf(*refused->finished), reason::kLimit);
}

TEST_F(InboxBoundsTest, AnAgentThatAnswersWhatNobodyAskedAndDoesNotReadIsEnded) {
  const auto inbox = Begin(bob_);
  SayOpen(bob_, *inbox);
  inbox->stalled = true;
  for (size_t i = 0; i < kMaxRefused + 1; ++i) {
    gateway::v1::InboxRequest answer;
    answer.mutable_answer()->set_message_json(record::Message::Sign({.id = absl::StrCat("q", i),
                                                                     .type = record::MessageType::kResponse,
                                                                     .sender = bob_.name,
                                                                     .recipient = alice_.name,
                                                                     .timestamp = world_.clock.Now()},
                                                                    bob_.key)
                                                  ->json());
    inbox->Send(answer);
  }
  world_.tasks.Run();
  EXPECT_EQ(ReasonFor(*inbox), "still open");  // one is being written, the others wait
  gateway::v1::InboxRequest one_more;
  one_more.mutable_answer()->set_message_json("{}");
  inbox->Send(one_more);
  world_.tasks.Run();
  EXPECT_EQ(ReasonFor(*inbox), reason::kLimit);
}

// Answers that are refused cost the agent its rate, then its standing; good ones are paid for by who asked.
TEST_F(InboxBoundsTest, AnAgentThatAnswersBadlyWithoutEndPaysForIt) {
  TestGateway strict(world_, 8, {}, {}, std::nullopt, {.agents = {.rate = {.per_second = 1, .burst = 200}}});
  TestAgent carol(world_, strict, "carol.agent");
  carol.Settle();
  const auto inbox = Begin(carol);
  SayOpen(carol, *inbox);
  for (int i = 0; i < 400 && !inbox->finished; ++i) {
    gateway::v1::InboxRequest answer;
    answer.mutable_answer()->set_message_json("{}");
    inbox->Send(answer);
    world_.tasks.Run();
  }
  ASSERT_TRUE(inbox->finished);
  EXPECT_TRUE(absl::IsResourceExhausted(*inbox->finished)) << *inbox->finished;
  EXPECT_NE(ReasonOf(*inbox->finished), reason::kLimit) << "it did read why";
}

// An agent may take its time for each message: nothing comes twice on one call.
TEST_F(InboxBoundsTest, WhatIsNotAcknowledgedComesAgainWithTheNextCallAndNotBefore) {
  ASSERT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", "m1")).ok());
  auto inbox = bob_.OpenInbox();
  ASSERT_EQ(inbox->received.size(), 2u);
  for (int i = 0; i < 60; ++i) Pass(absl::Seconds(30));
  EXPECT_EQ(inbox->received.size(), 2u);
  inbox = bob_.OpenInbox();
  ASSERT_EQ(inbox->received.size(), 2u);
  EXPECT_EQ(inbox->received[1].message().deliveries(), 2u);
}

}  // namespace
}  // namespace dotagent::gateway_service
