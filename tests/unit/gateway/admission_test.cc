// Who is admitted, what is charged to whom, and what an overload sheds: over gateways in a simulated world.
#include "services/gateway/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/abuse/refusal.h"
#include "common/base/retry_after.h"
#include "services/gateway/admission_options.h"
#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {
namespace {

using testing::HasSubstr;

// Small, so that tests are short: a quarantine comes with the 20th bad signature.
AdmissionLimits Limits() {
  return {.agents = {.rate = {.per_second = 10, .burst = 200}, .max_recipients = 2},
          .gateways = {.rate = {.per_second = 10, .burst = 20}},
          .addresses = {.rate = {.per_second = 1, .burst = 3}},
          .overload_target = absl::Milliseconds(50)};
}

class AdmissionTest : public testing::Test {
 protected:
  void SetUp() override {
    alice_.Settle();
    bob_.Settle();
    carol_.Settle();
  }
  absl::StatusOr<gateway::v1::SendResponse> Send(TestAgent& from, const std::string& to, gateway::v1::Priority priority,
                                                 const std::string& id) {
    gateway::v1::SendRequest request;
    request.set_message_json(from.SignMessage(to, id));
    request.set_priority(priority);
    absl::StatusOr<gateway::v1::SendResponse> result = absl::UnknownError("not answered");
    from.gateway.logic->Send(from.token, request, [&](auto response) { result = std::move(response); });
    world_.tasks.Run();
    return result;
  }
  std::string NextId() { return absl::StrCat("m", ++last_id_); }
  // A message whose signature is another agent's.
  std::string Forged(const TestAgent& from) {
    TestAgent impostor(world_, from.gateway, from.name);
    return impostor.SignMessage("bob.agent", NextId());
  }
  absl::StatusOr<bool> Deliver(const std::string& json, const TestAgent& sender) {
    trunk::v1::DeliverRequest request;
    request.set_message_json(json);
    request.set_sender_key(std::string(sender.key.public_key().bytes()));
    absl::StatusOr<bool> result = absl::UnknownError("not answered");
    two_.logic->trunk_handlers().deliver(one_.key.public_key(), request, [&](auto duplicate) { result = duplicate; });
    world_.tasks.Run();
    return result;
  }
  [[nodiscard]] gateway::v1::GetStandingResponse StandingOf(const TestAgent& agent) const {
    const auto standing = agent.gateway.logic->GetStanding(agent.token);
    EXPECT_TRUE(standing.ok()) << standing.status();
    return *standing;
  }

  World world_;
  TestGateway one_{world_, 8, {}, {}, std::nullopt, Limits()};
  TestGateway two_{world_, 8, {}, {}, std::nullopt, Limits()};
  TestAgent alice_{world_, one_, "alice.agent"};
  TestAgent carol_{world_, one_, "carol.agent"};
  TestAgent bob_{world_, two_, "bob.agent"};
  int last_id_ = 0;
};

TEST_F(AdmissionTest, AFloodTakesTheFloodersCallsOnly) {
  absl::Status refused;
  for (int i = 0; i < 300 && !absl::IsResourceExhausted(refused); ++i) refused = alice_.Send("{}").status();
  EXPECT_EQ(ReasonOf(refused), abuse::kRateLimited) << refused;
  EXPECT_TRUE(RetryAfterOf(refused).has_value());
  EXPECT_EQ(ReasonOf(*alice_.OpenInbox()->finished), abuse::kRateLimited);
  EXPECT_EQ(ReasonOf(*alice_.Call("bob.agent")->finished), abuse::kRateLimited);
  EXPECT_EQ(ReasonOf(alice_.Publish("t", "p1").status()), abuse::kRateLimited);
  EXPECT_EQ(ReasonOf(*alice_.Subscribe("carol.agent", "t")->finished), abuse::kRateLimited);
  EXPECT_TRUE(Send(carol_, "bob.agent", gateway::v1::PRIORITY_UNSPECIFIED, NextId()).ok());
}

TEST_F(AdmissionTest, BadSignaturesThrottleThenQuarantineAndEnd) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ReasonOf(alice_.Send(Forged(alice_)).status()), reason::kBadSignature);
  EXPECT_EQ(StandingOf(alice_).standing(), gateway::v1::STANDING_THROTTLED);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ReasonOf(alice_.Send(Forged(alice_)).status()), reason::kBadSignature);
  const absl::Status refused = alice_.Send(alice_.SignMessage("bob.agent", NextId())).status();
  EXPECT_EQ(ReasonOf(refused), abuse::kQuarantined) << refused;
  EXPECT_EQ(RetryAfterOf(refused), absl::Minutes(1));
  const auto standing = StandingOf(alice_);
  EXPECT_EQ(standing.standing(), gateway::v1::STANDING_QUARANTINED);
  EXPECT_EQ(standing.quarantine_left_ms(), 60'000);
  EXPECT_EQ(standing.quarantines(), 1u);
  EXPECT_EQ(StandingOf(carol_).standing(), gateway::v1::STANDING_GOOD);
  // It stays so with a new token, and ends by itself.
  ASSERT_TRUE(alice_.Authenticate().ok());
  EXPECT_EQ(ReasonOf(alice_.Send("{}").status()), abuse::kQuarantined);
  world_.clock.Advance(absl::Minutes(1));
  EXPECT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", NextId())).ok());
  EXPECT_EQ(StandingOf(alice_).standing(), gateway::v1::STANDING_GOOD);
}

TEST_F(AdmissionTest, TellsTheOperatorWhoIsWorst) {
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(alice_.Send(Forged(alice_)).ok());
  const auto standings = nlohmann::json::parse(one_.logic->admission().Standings());
  ASSERT_EQ(standings["agents"].size(), 1u);
  EXPECT_EQ(standings["agents"][0]["party"], crypto::PeerIdFromKey(alice_.key.public_key()));
  EXPECT_EQ(standings["agents"][0]["standing"], "quarantined");
  one_.logic->Tick();
  const std::string metrics = one_.metrics.Render();
  EXPECT_THAT(metrics, HasSubstr("dotagent_gateway_anomalies_total{kind=\"bad_signature\",of=\"agent\"} 20"));
  EXPECT_THAT(metrics, HasSubstr("dotagent_gateway_bad_standing{of=\"agent\",standing=\"quarantined\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("dotagent_gateway_quarantines_total{of=\"agent\"} 1"));
}

TEST_F(AdmissionTest, ForgeriesOverATrunkAreTheGatewaysFault) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ReasonOf(Deliver(Forged(alice_), alice_).status()), reason::kBadSignature);
  const auto standings = nlohmann::json::parse(two_.logic->admission().Standings());
  ASSERT_EQ(standings["gateways"].size(), 1u);
  EXPECT_EQ(standings["gateways"][0]["party"], crypto::PeerIdFromKey(one_.key.public_key()));
  EXPECT_EQ(standings["gateways"][0]["standing"], "throttled");
  EXPECT_EQ(standings["senders"].size(), 0u);
  EXPECT_EQ(standings["agents"].size(), 0u);
}

TEST_F(AdmissionTest, WhatAnotherGatewaySaysIsChargedToNobody) {
  world_.trunks.Leave(two_.key.public_key());
  TrunkHandlers lying = two_.logic->trunk_handlers();
  lying.deliver = [](const auto&, const auto&, const auto& done) {
    done(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadSignature, "it does not verify"));
  };
  world_.trunks.Join(two_.key.public_key(), lying);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(ReasonOf(alice_.Send(alice_.SignMessage("bob.agent", NextId())).status()), reason::kBadSignature);
  }
  EXPECT_EQ(one_.logic->admission().StandingOf(alice_.key.public_key()).standing, abuse::Standing::kGood);
  EXPECT_LT(StandingOf(alice_).score(), 5);
}

TEST_F(AdmissionTest, AGatewayHasABucketToo) {
  absl::Status refused;
  for (int i = 0; i < 30 && !absl::IsResourceExhausted(refused); ++i) refused = Deliver("{}", alice_).status();
  EXPECT_EQ(ReasonOf(refused), abuse::kRateLimited) << refused;
  // The agents at the gateway where it was refused go on.
  TestAgent dave(world_, two_, "dave.agent");
  dave.Settle();
  EXPECT_TRUE(Send(dave, "bob.agent", gateway::v1::PRIORITY_UNSPECIFIED, NextId()).ok());
}

TEST_F(AdmissionTest, TooManyRecipientsAreRefusedAndTheOldOnesAreNot) {
  EXPECT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", NextId())).ok());
  EXPECT_TRUE(alice_.Send(alice_.SignMessage("carol.agent", NextId())).ok());
  const absl::Status refused = alice_.Send(alice_.SignMessage("alice.agent", NextId())).status();
  EXPECT_EQ(ReasonOf(refused), abuse::kTooManyRecipients) << refused;
  EXPECT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", NextId())).ok());
  world_.clock.Advance(abuse::kFanOutWindow);
  EXPECT_TRUE(alice_.Send(alice_.SignMessage("alice.agent", NextId())).ok());
}

TEST_F(AdmissionTest, AnotherMessageUnderAnIdThatWasUsedIsAReplay) {
  const std::string json = alice_.SignMessage("bob.agent", "same");
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(alice_.Send(json).ok());
  EXPECT_NEAR(StandingOf(alice_).score(), 0.04, 1e-6) << "trying again costs little";
  world_.clock.Advance(absl::Seconds(1));
  EXPECT_TRUE(alice_.Send(alice_.SignMessage("bob.agent", "same"))->duplicate());
  const double replayed = StandingOf(alice_).score();
  EXPECT_GT(replayed, 10);
  // To another recipient it is another message.
  EXPECT_TRUE(alice_.Send(alice_.SignMessage("carol.agent", "same")).ok());
  EXPECT_DOUBLE_EQ(StandingOf(alice_).score(), replayed);
}

TEST_F(AdmissionTest, ProofsAreChargedToTheAddress) {
  Admission& admission = one_.logic->admission();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(admission.AdmitAddress("192.0.2.1", call_cost::kOne).ok());
  EXPECT_EQ(ReasonOf(admission.AdmitAddress("192.0.2.1", call_cost::kOne)), abuse::kRateLimited);
  EXPECT_TRUE(admission.AdmitAddress("192.0.2.2", call_cost::kOne).ok());
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(admission.AdmitAddress("", call_cost::kOne).ok());
  for (int i = 0; i < 20; ++i) admission.NoteProof("192.0.2.3", absl::UnauthenticatedError("no"));
  EXPECT_EQ(ReasonOf(admission.AdmitAddress("192.0.2.3", call_cost::kOne)), abuse::kQuarantined);
}

TEST_F(AdmissionTest, AnOverloadShedsTheLowFirstAndTheCriticalNever) {
  const auto reason_of = [&](gateway::v1::Priority priority) {
    return ReasonOf(Send(carol_, "bob.agent", priority, NextId()).status());
  };
  const auto wait = [&](absl::Duration time) {
    for (int i = 0; i < 20; ++i) {
      one_.logic->admission().SawWait(time);
      world_.clock.Advance(absl::Milliseconds(10));
    }
  };
  wait(absl::Milliseconds(60));
  EXPECT_EQ(reason_of(gateway::v1::PRIORITY_LOW), abuse::kOverloaded);
  EXPECT_EQ(reason_of(gateway::v1::PRIORITY_UNSPECIFIED), "");
  wait(absl::Milliseconds(300));
  EXPECT_EQ(reason_of(gateway::v1::PRIORITY_UNSPECIFIED), abuse::kOverloaded);
  EXPECT_EQ(reason_of(gateway::v1::PRIORITY_HIGH), "");
  wait(absl::Seconds(10));
  EXPECT_EQ(reason_of(gateway::v1::PRIORITY_HIGH), abuse::kOverloaded);
  EXPECT_EQ(reason_of(gateway::v1::PRIORITY_CRITICAL), "");
  one_.logic->Tick();
  EXPECT_THAT(one_.metrics.Render(), HasSubstr("dotagent_gateway_overload 3"));
  EXPECT_THAT(one_.metrics.Render(), HasSubstr("dotagent_gateway_shed_total{priority=\"low\"} 1"));
  wait(absl::ZeroDuration());
  wait(absl::ZeroDuration());
  EXPECT_EQ(reason_of(gateway::v1::PRIORITY_LOW), "");
  EXPECT_EQ(StandingOf(carol_).standing(), gateway::v1::STANDING_GOOD) << "it is not the agent's fault";
}

TEST_F(AdmissionTest, PriorityTravelsToTheRecipientsGateway) {
  for (int i = 0; i < 20; ++i) {
    two_.logic->admission().SawWait(absl::Milliseconds(60));
    world_.clock.Advance(absl::Milliseconds(10));
  }
  EXPECT_EQ(ReasonOf(Send(alice_, "bob.agent", gateway::v1::PRIORITY_LOW, NextId()).status()), abuse::kOverloaded);
  EXPECT_TRUE(Send(alice_, "bob.agent", gateway::v1::PRIORITY_NORMAL, NextId()).ok());
}

TEST(AdmissionOptionsTest, NonsenseIsRefused) {
  EXPECT_TRUE(AdmissionOptions().Check().ok());
  AdmissionOptions below;
  below.agent_rate = -1;
  EXPECT_TRUE(absl::IsInvalidArgument(below.Check()));
  AdmissionOptions endless;
  endless.quarantine = absl::InfiniteDuration();
  EXPECT_TRUE(absl::IsInvalidArgument(endless.Check()));
}

TEST(CallCostTest, LargeAndUrgentMessagesCostMore) {
  EXPECT_DOUBLE_EQ(call_cost::OfMessage(0, abuse::Priority::kLow), 1);
  EXPECT_DOUBLE_EQ(call_cost::OfMessage(64 * 1024, abuse::Priority::kNormal), 2);
  EXPECT_DOUBLE_EQ(call_cost::OfMessage(64 * 1024, abuse::Priority::kCritical), 8);
}

}  // namespace
}  // namespace dotagent::gateway_service
