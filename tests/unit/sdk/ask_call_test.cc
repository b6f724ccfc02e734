// Requests and messages that share a call to the gateway.
#include "sdk/cpp/ask_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"
#include "tests/unit/sdk/fake_gateway.h"
#include "tests/unit/sdk/samples.h"

namespace dotagent::sdk {
namespace {

namespace v1 = ::dotagent::gateway::v1;
using ::testing::HasSubstr;

class AskCallTest : public testing::Test {
 protected:
  AskCallTest() {
    gateway_.AddRecord(SignedRecord(bob_, "bob.agent"));
    Speak({"ask"});
    agent_ = gateway_.Connect("alice.agent", alice_);
    gateway_.AnswerAsks([this](const v1::AskRequest& ask) { return std::vector{Answer(ask)}; });
  }

  void Speak(const std::vector<std::string>& features) {
    v1::NegotiateResponse spoken;
    spoken.set_version("1.0.0");
    for (const std::string& feature : features) spoken.add_features(feature);
    gateway_.Speak(spoken);
  }
  // Bob's answer: the request's content, back.
  [[nodiscard]] v1::AskResponse Answer(const v1::AskRequest& ask) const {
    const auto asked = record::Message::Verify(ask.request().message_json(), alice_.public_key(), absl::Now());
    EXPECT_TRUE(asked.ok()) << asked.status();
    v1::AskResponse response;
    response.set_number(ask.number());
    response.mutable_answered()->set_recipient_record_json(record_);
    response.mutable_answered()->set_message_json(record::Message::Sign({.id = asked->id(),
                                                                         .type = record::MessageType::kResponse,
                                                                         .sender = "bob.agent",
                                                                         .recipient = "alice.agent",
                                                                         .timestamp = absl::Now(),
                                                                         .content = asked->content()},
                                                                        bob_)
                                                      ->json());
    return response;
  }
  [[nodiscard]] static v1::AskResponse Sent(const v1::AskRequest& ask) {
    v1::AskResponse response;
    response.set_number(ask.number());
    response.mutable_sent();
    return response;
  }
  absl::StatusOr<SentMessage> Send() { return agent_->Send({.recipient = "bob.agent", .content = {{"text", "hi"}}}); }
  absl::StatusOr<AnsweredRequest> Ask(int value = 0, absl::Duration timeout = kPatience) {
    return agent_->Request({.recipient = "bob.agent", .content = {{"value", value}}}, timeout);
  }
  void ExpectAnswer(int value) {
    const auto answered = Ask(value);
    ASSERT_TRUE(answered.ok()) << answered.status();
    EXPECT_EQ(answered->message.content(), record::Json({{"value", value}}));
  }

  const crypto::SigningKey alice_ = KeyFromSeed(1);
  const crypto::SigningKey bob_ = KeyFromSeed(2);
  const std::string record_ = SignedRecord(bob_, "bob.agent");
  FakeGateway gateway_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(AskCallTest, RequestsShareOneCall) {
  for (int i = 0; i < 3; ++i) ExpectAnswer(i);
  EXPECT_EQ(gateway_.Count("Ask"), 1);
  EXPECT_EQ(gateway_.Count("Request"), 0);
}

TEST_F(AskCallTest, AGatewayWithoutTheFeatureIsAskedOneByOne) {
  Speak({"requests"});
  agent_ = gateway_.Connect("alice.agent", alice_);
  for (int i = 0; i < 3; ++i) ExpectAnswer(i);
  EXPECT_TRUE(Send().ok());
  EXPECT_EQ(gateway_.Count("Ask"), 0);
  EXPECT_EQ(gateway_.Count("Request"), 3);
  EXPECT_EQ(gateway_.Count("Send"), 1);
}

TEST_F(AskCallTest, MessagesGoOverTheCallOfRequests) {
  ExpectAnswer(1);
  std::string carried;
  gateway_.AnswerAsks([&](const v1::AskRequest& ask) {
    carried = ask.send().message_json();
    return std::vector{Sent(ask)};
  });
  const auto sent = Send();
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(carried, sent->message.json());
  EXPECT_FALSE(sent->duplicate);
  EXPECT_EQ(gateway_.Count("Ask"), 1);
  EXPECT_EQ(gateway_.Count("Send"), 0);
}

TEST_F(AskCallTest, AMessageWhoseCallEndsIsSentOnceMore) {
  std::vector<std::string> carried;
  absl::Notification first;
  gateway_.AnswerAsks([&](const v1::AskRequest& ask) {
    carried.push_back(ask.send().message_json());
    if (carried.size() == 1) {
      first.Notify();
      return std::vector<v1::AskResponse>{};
    }
    return std::vector{Sent(ask)};
  });
  std::thread ends([&] {
    first.WaitForNotification();
    gateway_.EndAsks(absl::UnavailableError("restarts"));
  });
  const auto sent = Send();
  ends.join();
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(carried, std::vector(2, sent->message.json())) << "the same one";
  EXPECT_EQ(gateway_.Count("Ask"), 2);
}

TEST_F(AskCallTest, AnOutcomeOfAnotherKindIsNone) {
  gateway_.AnswerAsks([](const v1::AskRequest& ask) { return std::vector{Sent(ask)}; });
  EXPECT_EQ(ReasonOf(Ask().status()), reason::kProtocol);
  gateway_.AnswerAsks([](const v1::AskRequest& ask) {
    v1::AskResponse nothing;
    nothing.set_number(ask.number());
    return std::vector{nothing};
  });
  EXPECT_EQ(ReasonOf(Send().status()), reason::kProtocol);
}

TEST_F(AskCallTest, ManyThreadsGetTheirOwnAnswers) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([this, i] {
      for (int round = 0; round < 20; ++round) ExpectAnswer(i * 100 + round);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(gateway_.Count("Ask"), 1);
}

// The thread that polls for all may be one whose own answer comes last, or never.
TEST_F(AskCallTest, AnAnswerDoesNotWaitForAnother) {
  absl::Notification asked;
  v1::AskRequest first;
  gateway_.AnswerAsks([&](const v1::AskRequest& ask) {
    if (!asked.HasBeenNotified()) {
      first = ask;
      asked.Notify();
      return std::vector<v1::AskResponse>{};
    }
    return std::vector{Answer(ask)};
  });
  std::thread waits([&] { ExpectAnswer(1); });
  asked.WaitForNotification();
  ExpectAnswer(2);
  gateway_.AnswerAsks([&](const v1::AskRequest& ask) { return std::vector{Answer(ask), Answer(first)}; });
  ExpectAnswer(3);
  waits.join();
}

TEST_F(AskCallTest, ARefusalSaysWhyAndWhenToComeBack) {
  gateway_.AnswerAsks([](const v1::AskRequest& ask) {
    v1::AskResponse response;
    response.set_number(ask.number());
    response.mutable_refused()->set_code(static_cast<int32_t>(absl::StatusCode::kResourceExhausted));
    response.mutable_refused()->set_message("slowly");
    response.mutable_refused()->set_reason(std::string(reason::kLimit));
    response.mutable_refused()->set_retry_after_ms(250);
    return std::vector{response};
  });
  const absl::Status refused = Ask().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_EQ(ReasonOf(refused), reason::kLimit);
  EXPECT_EQ(RetryAfterOf(refused), absl::Milliseconds(250));
}

TEST_F(AskCallTest, WhoIsNotAnsweredInTimeIsTold) {
  gateway_.AnswerAsks(nullptr);
  EXPECT_EQ(Ask(0, absl::Milliseconds(50)).status().code(), absl::StatusCode::kDeadlineExceeded);
  gateway_.AnswerAsks([this](const v1::AskRequest& ask) { return std::vector{Answer(ask)}; });
  ExpectAnswer(1);
  EXPECT_EQ(gateway_.Count("Ask"), 1) << "the call is still good";
}

TEST_F(AskCallTest, ACallThatHasEndedIsReplaced) {
  absl::Notification asked;
  gateway_.AnswerAsks([&](const v1::AskRequest&) {
    asked.Notify();
    return std::vector<v1::AskResponse>{};
  });
  std::thread waits([&] {
    const absl::Status status = Ask().status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("restarts"));
  });
  asked.WaitForNotification();
  gateway_.EndAsks(absl::UnavailableError("restarts"));
  waits.join();
  gateway_.AnswerAsks([this](const v1::AskRequest& ask) { return std::vector{Answer(ask)}; });
  ExpectAnswer(1);
  EXPECT_EQ(gateway_.Count("Ask"), 2);
}

TEST_F(AskCallTest, ALapsedTokenIsRenewedWhereverItShows) {
  gateway_.ForgetTokens();
  ExpectAnswer(1);  // refused when the call is opened
  EXPECT_EQ(gateway_.Count("Ask"), 2);
  bool lapsed = true;
  gateway_.AnswerAsks([&](const v1::AskRequest& ask) {
    if (!std::exchange(lapsed, false)) return std::vector{Answer(ask)};
    v1::AskResponse response;
    response.set_number(ask.number());
    response.mutable_refused()->set_code(static_cast<int32_t>(absl::StatusCode::kUnauthenticated));
    response.mutable_refused()->set_reason(std::string(reason::kNotAuthenticated));
    return std::vector{response};
  });
  ExpectAnswer(2);  // refused as one request
  EXPECT_EQ(gateway_.Count("Ask"), 3);
  EXPECT_EQ(gateway_.Count("Authenticate"), 3);
}

}  // namespace
}  // namespace dotagent::sdk
