#include "common/p2p/calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/varint.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::p2p {
namespace {

using testing::HasSubstr;

constexpr char kProtocol[] = "/test/call/1";
constexpr size_t kMax = 4 << 20;

class CallsTest : public testing::Test {
 protected:
  // b answers with `handler`.
  void Serve(CallHandler handler, size_t max_request = kMax) {
    loop_.Run([&] { b_.node().ServeCalls(kProtocol, max_request, std::move(handler)); });
  }
  // b does with the streams of calls what it likes.
  void ServeStreams(StreamHandler handler) {
    loop_.Run([&] { b_.node().Serve(kProtocol, std::move(handler)); });
  }
  void Start(const std::string& request, absl::Duration timeout, Outcome<absl::StatusOr<std::string>>& outcome) {
    const PeerAddress peer = b_.peer();
    loop_.Run([&] { a_.node().Call(peer, kProtocol, request, kMax, timeout, outcome.Callback()); });
  }
  absl::StatusOr<std::string> Call(const std::string& request, absl::Duration timeout = absl::Seconds(20)) {
    Outcome<absl::StatusOr<std::string>> outcome;
    Start(request, timeout, outcome);
    return outcome.Wait();
  }

  Loop loop_;
  TestNode a_{loop_};
  TestNode b_{loop_};
};

// Longer than what a session takes at once, both ways.
TEST_F(CallsTest, LongMessagesArriveWhole) {
  std::string request(3 << 20, '\0');
  for (size_t i = 0; i < request.size(); ++i) request[i] = static_cast<char>(i % 251);
  Serve([](const crypto::PublicKey&, const std::string& asked, const auto& respond) { respond(asked + "!"); });
  EXPECT_EQ(*Call(request), request + "!");
  EXPECT_EQ(*Call(""), "!");
}

// Under way at once; none is answered before the last one has come.
TEST_F(CallsTest, MoreAtOnceThanASessionBeginsWith) {
  constexpr size_t kBatch = 200;
  constexpr size_t kBatches = 8;
  static_assert(kBatch * kBatches > 3 * SessionWindows().streams);
  std::vector<std::function<void()>> waiting;
  Serve([&](const crypto::PublicKey&, const std::string& asked, const auto& respond) {
    waiting.push_back([asked, respond] { respond(asked); });
  });
  std::vector<Outcome<absl::StatusOr<std::string>>> outcomes(kBatch * kBatches);
  for (size_t begun = 0; begun < outcomes.size();) {
    for (size_t i = 0; i < kBatch; ++i, ++begun) Start(std::to_string(begun), absl::Seconds(25), outcomes[begun]);
    ASSERT_TRUE(Eventually(loop_, [&] { return waiting.size() == begun; }));
  }
  loop_.Run([&] {
    for (const auto& answer : waiting) answer();
    waiting.clear();
  });
  for (size_t i = 0; i < outcomes.size(); ++i) ASSERT_EQ(*outcomes[i].Wait(), std::to_string(i));
}

TEST_F(CallsTest, ManyAtOnceAreAnsweredInAnyOrder) {
  std::vector<std::function<void()>> waiting;
  Serve([&](const crypto::PublicKey&, const std::string& asked, const auto& respond) {
    waiting.push_back([asked, respond] { respond("re: " + asked); });
    if (waiting.size() < 50) return;
    for (auto answer = waiting.rbegin(); answer != waiting.rend(); ++answer) (*answer)();
    waiting.clear();
  });
  std::vector<Outcome<absl::StatusOr<std::string>>> outcomes(50);
  for (size_t i = 0; i < outcomes.size(); ++i) Start(std::to_string(i), absl::Seconds(20), outcomes[i]);
  for (size_t i = 0; i < outcomes.size(); ++i) EXPECT_EQ(*outcomes[i].Wait(), "re: " + std::to_string(i));
}

TEST_F(CallsTest, AHandlerThatLetsGoOfItsAnswerResetsTheCall) {
  Serve([](const crypto::PublicKey&, const std::string&, const auto&) {});
  const absl::Status status = Call("x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("let go"));
}

TEST_F(CallsTest, AnAnswerAfterTheDeadlineIsDropped) {
  std::vector<std::function<void(std::string)>> late;
  Serve([&](const crypto::PublicKey&, const std::string& asked, auto respond) {
    if (asked == "slow") return late.push_back(std::move(respond));
    respond(asked);
  });
  ASSERT_EQ(*Call("warm"), "warm");
  const absl::Status status = Call("slow", absl::Milliseconds(50)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(status.message(), "no answer within 50ms");
  loop_.Run([&] { late.at(0)("too late"); });
  EXPECT_EQ(*Call("next"), "next");
  EXPECT_EQ(a_.sessions(), 1U);
}

TEST_F(CallsTest, OneDeadlineDoesNotWaitForAnother) {
  std::vector<std::function<void(std::string)>> unanswered;
  Serve([&](const crypto::PublicKey&, const std::string&, auto respond) { unanswered.push_back(std::move(respond)); });
  Outcome<absl::StatusOr<std::string>> patient;
  Start("long", absl::Minutes(10), patient);
  EXPECT_EQ(Call("short", absl::Milliseconds(50)).status().code(), absl::StatusCode::kDeadlineExceeded);
  loop_.Run([&] { unanswered.at(0)("at last"); });
  EXPECT_EQ(*patient.Wait(), "at last");
  loop_.Run([&] { unanswered.clear(); });
}

TEST_F(CallsTest, ACallFailsWithItsSession) {
  std::vector<std::function<void(std::string)>> unanswered;
  Serve([&](const crypto::PublicKey&, const std::string&, auto respond) { unanswered.push_back(std::move(respond)); });
  Outcome<absl::StatusOr<std::string>> outcome;
  Start("x", absl::Seconds(20), outcome);
  ASSERT_TRUE(Eventually(loop_, [&] { return unanswered.size() == 1; }));
  loop_.Run([&] { b_.node().Drop(a_.key(), "a test"); });
  EXPECT_EQ(outcome.Wait().status().code(), absl::StatusCode::kUnavailable);
  loop_.Run([&] {
    unanswered.at(0)("nobody hears this");
    unanswered.clear();
  });
}

TEST_F(CallsTest, AnAnswerMayComeInPiecesAndBeFollowedByMore) {
  ServeStreams([](const std::shared_ptr<Stream>& stream) {
    const std::string answer = WithLength("in pieces");
    stream->Write(answer.substr(0, 3), [stream, answer](const absl::Status&) {
      stream->Write(answer.substr(3) + "more", [stream](const absl::Status&) { stream->CloseWrite(); });
    });
  });
  EXPECT_EQ(*Call("x"), "in pieces");
  EXPECT_EQ(*Call("x"), "in pieces");
}

TEST_F(CallsTest, AStreamThatEndsIsNoAnswer) {
  ServeStreams([](const std::shared_ptr<Stream>& stream) { stream->CloseWrite(); });
  EXPECT_EQ(Call("x").status().code(), absl::StatusCode::kUnavailable);
  ServeStreams([](const std::shared_ptr<Stream>& stream) {
    stream->Write("\x05half", [stream](const absl::Status&) { stream->CloseWrite(); });
  });
  EXPECT_EQ(Call("x").status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(CallsTest, ARequestWithMoreBehindItIsRefused) {
  Serve([](const crypto::PublicKey&, const std::string& asked, const auto& respond) { respond(asked); });
  const auto stream = a_.Open(b_.peer(), kProtocol);
  ASSERT_EQ(stream.status(), absl::OkStatus());
  EXPECT_EQ(a_.Write(*stream, WithLength("x") + "y"), absl::OkStatus());
  EXPECT_EQ(a_.Read(*stream).status().code(), absl::StatusCode::kAborted);
}

// A call is not lost while its caller waits for the end of the request that it sends.
TEST_F(CallsTest, IsAnsweredBeforeItsStreamEnds) {
  Serve([](const crypto::PublicKey&, const std::string& asked, const auto& respond) { respond(asked); });
  const auto stream = a_.Open(b_.peer(), kProtocol);
  ASSERT_EQ(stream.status(), absl::OkStatus());
  EXPECT_EQ(a_.Write(*stream, WithLength("open")), absl::OkStatus());
  EXPECT_EQ(*a_.Read(*stream), WithLength("open"));
}

}  // namespace
}  // namespace dotagent::p2p
