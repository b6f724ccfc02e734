// Requests and messages over one call: what is told under which number, and what a client can make the gateway hold.
#include "services/gateway/asks.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/retry_after.h"
#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {
namespace {

namespace v1 = ::dotagent::gateway::v1;
using AskCall = FakeCall<v1::AskRequest, v1::AskResponse>;

class AsksTest : public testing::Test {
 protected:
  std::shared_ptr<AskCall> Open() {
    auto call = std::make_shared<AskCall>(world_.tasks);
    asks_.Serve(agent_, "token", call);
    world_.tasks.Run();
    return call;
  }
  void Ask(AskCall& call, uint64_t number, const std::string& json, uint32_t timeout_ms = 0) {
    v1::AskRequest ask;
    ask.set_number(number);
    ask.mutable_request()->set_message_json(json);
    ask.set_timeout_ms(timeout_ms);
    call.Send(ask);
    world_.tasks.Run();
  }
  void Send(AskCall& call, uint64_t number, const std::string& json) {
    v1::AskRequest ask;
    ask.set_number(number);
    ask.mutable_send()->set_message_json(json);
    call.Send(ask);
    world_.tasks.Run();
  }
  // What became of a message.
  void Keep(const std::string& json, absl::StatusOr<bool> duplicate) {
    const auto sent = sent_.extract(json);
    ASSERT_FALSE(sent.empty()) << json << " was not sent";
    v1::SendResponse response;
    response.set_duplicate(duplicate.value_or(false));
    sent.mapped()(duplicate.ok() ? absl::StatusOr<v1::SendResponse>(response) : duplicate.status());
    world_.tasks.Run();
  }
  // Answers what was asked with these bytes.
  void Answer(const std::string& json, absl::StatusOr<std::string> answer) {
    const auto asked = asked_.extract(json);
    ASSERT_FALSE(asked.empty()) << json << " was not asked";
    if (!answer.ok()) {
      asked.mapped().done(answer.status());
    } else {
      v1::RequestResponse response;
      response.set_message_json(*std::move(answer));
      asked.mapped().done(std::move(response));
    }
    world_.tasks.Run();
  }

  struct Asked {
    absl::Time deadline;
    rpc::Done<v1::RequestResponse> done;
  };
  World world_;
  telemetry::Metrics metrics_;
  std::map<std::string, Asked> asked_;  // by the request's JSON
  std::map<std::string, rpc::Done<v1::SendResponse>> sent_;
  std::shared_ptr<Agent> agent_ =
      std::make_shared<Agent>(Agent{crypto::SigningKey::Generate(world_.random).public_key()});
  Asks asks_{{.request =
                  [this](absl::string_view token, const v1::RequestRequest& request, absl::Time deadline,
                         rpc::Done<v1::RequestResponse> done) {
                    EXPECT_EQ(token, "token");
                    asked_.insert_or_assign(request.message_json(), Asked{deadline, std::move(done)});
                  },
              .send =
                  [this](absl::string_view token, const v1::SendRequest& request, rpc::Done<v1::SendResponse> done) {
                    EXPECT_EQ(token, "token");
                    sent_.insert_or_assign(request.message_json(), std::move(done));
                  }},
             world_.clock,
             metrics_};
};

TEST_F(AsksTest, AnswersComeAsTheyAreGivenUnderTheirNumbers) {
  const auto call = Open();
  Ask(*call, 7, "first");
  Ask(*call, 8, "second", 2'000);
  EXPECT_EQ(asked_.at("first").deadline, absl::InfiniteFuture()) << "the gateway's own";
  EXPECT_EQ(asked_.at("second").deadline, world_.clock.Now() + absl::Seconds(2));
  Answer("second", "two");
  Answer("first", "one");
  ASSERT_EQ(call->received.size(), 2);
  EXPECT_EQ(call->received[0].number(), 8);
  EXPECT_EQ(call->received[0].answered().message_json(), "two");
  EXPECT_EQ(call->received[1].number(), 7);
  EXPECT_EQ(call->received[1].answered().message_json(), "one");
  EXPECT_FALSE(call->finished);
}

TEST_F(AsksTest, ARefusalIsOneRequestsOwn) {
  const auto call = Open();
  Ask(*call, 1, "first");
  Ask(*call, 2, "second");
  Answer("first", WithRetryAfter(ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit, "slowly"),
                                 absl::Milliseconds(250)));
  Answer("second", "two");
  ASSERT_EQ(call->received.size(), 2);
  const v1::Refusal& refused = call->received[0].refused();
  EXPECT_EQ(refused.code(), static_cast<int32_t>(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(refused.reason(), reason::kLimit);
  EXPECT_EQ(refused.message(), "slowly");
  EXPECT_EQ(refused.retry_after_ms(), 250);
  EXPECT_TRUE(call->received[1].has_answered());
  EXPECT_FALSE(call->finished);
}

TEST_F(AsksTest, MessagesAndRequestsShareACall) {
  const auto call = Open();
  Send(*call, 1, "kept");
  Ask(*call, 2, "asked");
  Send(*call, 3, "known");
  Send(*call, 4, "refused");
  Keep("known", true);
  Keep("refused", ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kNotAContact, "no contact"));
  Answer("asked", "one");
  Keep("kept", false);
  ASSERT_EQ(call->received.size(), 4);
  EXPECT_EQ(call->received[0].number(), 3);
  EXPECT_TRUE(call->received[0].sent().duplicate());
  EXPECT_EQ(call->received[1].number(), 4);
  EXPECT_EQ(call->received[1].refused().reason(), reason::kNotAContact);
  EXPECT_EQ(call->received[2].number(), 2);
  EXPECT_TRUE(call->received[2].has_answered());
  EXPECT_EQ(call->received[3].number(), 1);
  ASSERT_TRUE(call->received[3].has_sent());
  EXPECT_FALSE(call->received[3].sent().duplicate());
}

TEST_F(AsksTest, WhatAsksForNothingIsRefused) {
  const auto call = Open();
  v1::AskRequest nothing;
  nothing.set_number(5);
  call->Send(nothing);
  world_.tasks.Run();
  ASSERT_EQ(call->received.size(), 1);
  EXPECT_EQ(call->received[0].number(), 5);
  EXPECT_EQ(call->received[0].refused().reason(), reason::kProtocol);
  Ask(*call, 5, "first");
  EXPECT_TRUE(asked_.contains("first")) << "the number is free";
}

TEST_F(AsksTest, ANumberThatStillWaitsIsRefused) {
  const auto call = Open();
  Ask(*call, 1, "first");
  Ask(*call, 1, "again");
  ASSERT_EQ(call->received.size(), 1);
  EXPECT_EQ(call->received[0].refused().reason(), reason::kProtocol);
  EXPECT_FALSE(asked_.contains("again"));
  Answer("first", "one");
  Ask(*call, 1, "again");
  EXPECT_TRUE(asked_.contains("again")) << "the number is free";
}

TEST_F(AsksTest, SoManyWaitAndTheNextIsReadWhenOneHasLeft) {
  const auto call = Open();
  for (size_t i = 0; i < kMaxAsking + 1; ++i) Ask(*call, i, absl::StrCat(i));
  EXPECT_EQ(asked_.size(), kMaxAsking);
  Answer("3", "done");
  EXPECT_EQ(asked_.size(), kMaxAsking);
  EXPECT_TRUE(asked_.contains(absl::StrCat(kMaxAsking)));
}

TEST_F(AsksTest, SoManyBytesWait) {
  const auto call = Open();
  const std::string large(kMaxAskingBytes / 2, 'x');
  for (const char* name : {"a", "b", "c"}) Ask(*call, static_cast<uint64_t>(*name), name + large);
  EXPECT_TRUE(asked_.contains("b" + large));
  EXPECT_FALSE(asked_.contains("c" + large)) << "it is not read";
  Answer("a" + large, "done");
  EXPECT_TRUE(asked_.contains("c" + large));
}

TEST_F(AsksTest, WhoDoesNotReadIsNotKeptAnswersWithoutEnd) {
  const auto call = Open();
  call->stalled = true;
  const std::string large(kMaxUnreadAnswerBytes / 4, 'x');
  for (int i = 0; i < 6; ++i) Ask(*call, i, absl::StrCat(i));
  for (int i = 0; i < 6; ++i) Answer(absl::StrCat(i), large);
  call->Resume();
  world_.tasks.Run();
  ASSERT_EQ(call->received.size(), 6) << "each is told what became of it";
  // One is being written, three fit.
  for (int i = 0; i < 6; ++i) EXPECT_EQ(call->received[i].has_answered(), i < 4) << i;
  EXPECT_EQ(call->received[5].refused().reason(), reason::kLimit);
}

TEST_F(AsksTest, AHalfClosedCallEndsWhenAllIsAnswered) {
  const auto call = Open();
  Ask(*call, 1, "first");
  call->HalfClose();
  world_.tasks.Run();
  EXPECT_FALSE(call->finished);
  Answer("first", "one");
  EXPECT_EQ(call->received.size(), 1);
  EXPECT_EQ(call->finished, absl::OkStatus());
}

TEST_F(AsksTest, WhatIsAnsweredToAClientThatHasGoneIsDropped) {
  const auto call = Open();
  Ask(*call, 1, "first");
  call->Cancel();
  world_.tasks.Run();
  EXPECT_TRUE(call->finished.has_value());
  Answer("first", "one");
  EXPECT_TRUE(call->received.empty());
}

TEST_F(AsksTest, AnAgentHasSoManyCalls) {
  std::vector<std::shared_ptr<AskCall>> calls;
  for (size_t i = 0; i < kMaxAskCallsPerAgent; ++i) calls.push_back(Open());
  const auto refused = Open();
  ASSERT_TRUE(refused->finished.has_value());
  EXPECT_EQ(refused->finished->code(), absl::StatusCode::kResourceExhausted);
  calls.front()->Cancel();
  world_.tasks.Run();
  EXPECT_FALSE(Open()->finished.has_value());
}

TEST_F(AsksTest, ARevokedKeysCallsEnd) {
  const auto busy = Open();
  Ask(*busy, 1, "first");
  const absl::Status why = absl::PermissionDeniedError("revoked");
  asks_.End(crypto::SigningKey::Generate(world_.random).public_key(), why);
  world_.tasks.Run();
  EXPECT_FALSE(busy->finished.has_value()) << "another key's";
  asks_.End(agent_->key, why);
  world_.tasks.Run();
  EXPECT_EQ(busy->finished, why);
  Answer("first", "one");
  EXPECT_TRUE(busy->received.empty());
}

TEST_F(AsksTest, ADrainWaitsForWhatWasAsked) {
  const auto busy = Open();
  const auto idle = Open();
  Ask(*busy, 1, "first");
  const absl::Status why = absl::UnavailableError("draining");
  asks_.Drain(why);
  world_.tasks.Run();
  EXPECT_EQ(idle->finished, why);
  EXPECT_FALSE(busy->finished.has_value());
  Ask(*busy, 2, "second");
  EXPECT_FALSE(asked_.contains("second"));
  ASSERT_EQ(busy->received.size(), 1);
  EXPECT_EQ(busy->received[0].refused().message(), "draining") << "it was being read already";
  Answer("first", "one");
  ASSERT_EQ(busy->received.size(), 2);
  EXPECT_TRUE(busy->received[1].has_answered());
  EXPECT_EQ(busy->finished, why);
  EXPECT_EQ(Open()->finished, why);
}

}  // namespace
}  // namespace dotagent::gateway_service
