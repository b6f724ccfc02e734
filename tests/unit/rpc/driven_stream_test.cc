// A bidirectional call that is driven by whoever waits.
#include "common/rpc/driven_stream.h"

#include <grpcpp/support/server_callback.h>
#include <gtest/gtest.h>

#include <atomic>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"

namespace dotagent::rpc {
namespace {

namespace v1 = ::dotagent::gateway::v1;

constexpr absl::Duration kPatience = absl::Seconds(30);

// What a request's data tells it to: "say N" N messages, "end" ends with DATA_LOSS, "bye" with OK, "deaf" reads nothing
// more; everything else comes back.
class Player : public grpc::ServerBidiReactor<v1::OpenChannelRequest, v1::OpenChannelResponse> {
 public:
  Player() { StartRead(&request_); }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    const std::string& data = request_.data();
    if (data == "deaf") {
      deaf_ = true;
      return;
    }
    if (data == "end") return Finish({grpc::StatusCode::DATA_LOSS, "told to"});
    if (data == "bye") return Finish(grpc::Status::OK);
    left_ = data.rfind("say ", 0) == 0 ? std::stoi(data.substr(4)) : 1;
    response_.set_data(data);
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    if (--left_ > 0) return StartWrite(&response_);
    StartRead(&request_);
  }
  void OnCancel() override {
    if (deaf_) Finish(grpc::Status::CANCELLED);  // nothing that is under way would tell
  }
  void OnDone() override { delete this; }  // gRPC's reactors belong to gRPC

 private:
  v1::OpenChannelRequest request_;
  v1::OpenChannelResponse response_;
  int left_ = 0;
  std::atomic<bool> deaf_ = false;
};

class Service : public v1::GatewayService::CallbackService {
 public:
  grpc::ServerBidiReactor<v1::OpenChannelRequest, v1::OpenChannelResponse>* OpenChannel(
      grpc::CallbackServerContext*) override {
    return new Player();  // deleted in OnDone
  }
};

// Who waits sleeps, or looks first.
class DrivenStreamTest : public testing::TestWithParam<absl::Duration> {
 protected:
  using Stream = DrivenStream<v1::OpenChannelRequest, v1::OpenChannelResponse>;

  std::unique_ptr<Stream> Open(Stream::Take take = nullptr) {
    return std::make_unique<Stream>(
        [this](grpc::ClientContext& context, grpc::CompletionQueue* queue) {
          return stub_->PrepareAsyncOpenChannel(&context, queue);
        },
        GetParam(), std::move(take));
  }
  static absl::Status Say(Stream& stream, const std::string& data, absl::Duration patience = kPatience) {
    v1::OpenChannelRequest request;
    request.set_data(data);
    return stream.Write(request, absl::Now() + patience);
  }
  static absl::StatusOr<std::string> Hear(Stream& stream, absl::Duration patience = kPatience) {
    absl::StatusOr<v1::OpenChannelResponse> response = stream.Read(absl::Now() + patience);
    if (!response.ok()) return response.status();
    return response->data();
  }

  Service service_;
  std::unique_ptr<Server> server_ = *Server::Start({}, {&service_});
  std::unique_ptr<Channel> channel_ = *NewChannel(absl::StrCat("127.0.0.1:", server_->port()), {.plaintext = true});
  std::unique_ptr<v1::GatewayService::Stub> stub_ = v1::GatewayService::NewStub(channel_->grpc());
};

TEST_P(DrivenStreamTest, SaysAndHears) {
  const auto stream = Open();
  for (const std::string data : {"one", "two", "three"}) {
    ASSERT_EQ(Say(*stream, data), absl::OkStatus());
    EXPECT_EQ(Hear(*stream).value(), data);
  }
}

TEST_P(DrivenStreamTest, AWaitCanBeGivenUpAndTakenUpAgain) {
  const auto stream = Open();
  EXPECT_EQ(Hear(*stream, absl::Milliseconds(20)).status().code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_EQ(Say(*stream, "one"), absl::OkStatus());
  EXPECT_EQ(Hear(*stream).value(), "one");
}

TEST_P(DrivenStreamTest, WhyItEndedIsToldAfterWhatCame) {
  const auto stream = Open();
  ASSERT_EQ(Say(*stream, "say 3"), absl::OkStatus());
  ASSERT_EQ(Say(*stream, "end"), absl::OkStatus());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Hear(*stream).value(), "say 3");
  EXPECT_EQ(Hear(*stream).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Say(*stream, "more").code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(stream->has_ended());
}

TEST_P(DrivenStreamTest, AnOrderlyEndIsOneToo) {
  const auto stream = Open();
  ASSERT_EQ(Say(*stream, "bye"), absl::OkStatus());
  EXPECT_EQ(Hear(*stream).status().code(), absl::StatusCode::kUnavailable);
}

TEST_P(DrivenStreamTest, AServerThatIsGoneIsToldToBothSides) {
  const auto stream = Open();
  ASSERT_EQ(Say(*stream, "one"), absl::OkStatus());
  ASSERT_TRUE(Hear(*stream).ok());
  server_->Drain(absl::ZeroDuration());
  EXPECT_FALSE(Hear(*stream).ok());
  EXPECT_FALSE(Say(*stream, "two").ok());
}

TEST_P(DrivenStreamTest, WhoDoesNotTakeAMessageHoldsUpAWriteForSoLong) {
  const auto stream = Open();
  ASSERT_EQ(Say(*stream, "deaf"), absl::OkStatus());
  const std::string large(64 * 1024, 'x');
  absl::Status said;
  while (said.ok()) said = Say(*stream, large, absl::Milliseconds(200));
  EXPECT_EQ(said.code(), absl::StatusCode::kDeadlineExceeded) << said;
}

TEST_P(DrivenStreamTest, CancelEndsAWaitOfAnotherThread) {
  const auto stream = Open();
  std::thread canceller([&] { stream->Cancel(); });
  EXPECT_EQ(Hear(*stream).status().code(), absl::StatusCode::kCancelled);
  canceller.join();
}

// As one of them polls for all, none may leave while the others still wait for what only polling brings.
TEST_P(DrivenStreamTest, EachOfManyThreadsHearsAsMuchAsItSays) {
  const auto stream = Open();
  std::vector<std::thread> threads;
  std::atomic<int> heard = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        EXPECT_EQ(Say(*stream, "a"), absl::OkStatus());
        if (Hear(*stream).ok()) ++heard;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(heard, 400);
}

TEST_P(DrivenStreamTest, WhatIsTakenIsNotKept) {
  std::vector<std::string> taken;
  const auto stream = Open([&](v1::OpenChannelResponse response) { taken.push_back(response.data()); });
  ASSERT_EQ(Say(*stream, "say 3"), absl::OkStatus());
  EXPECT_EQ(stream->Await([&] { return taken.size() == 3; }, absl::Now() + kPatience), absl::OkStatus());
  EXPECT_EQ(stream->Await([] { return false; }, absl::Now()).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_P(DrivenStreamTest, ItCanEndWithMessagesThatNobodyReads) {
  const auto stream = Open();
  ASSERT_EQ(Say(*stream, "say 1000"), absl::OkStatus());
  ASSERT_TRUE(Hear(*stream).ok());
  // Reads until it holds as many as it will.
  EXPECT_TRUE(absl::IsDeadlineExceeded(stream->Await([] { return false; }, absl::Now() + absl::Milliseconds(100))));
}

// However closely its messages came before.
TEST_P(DrivenStreamTest, APauseIsSleptThrough) {
  const auto stream = Open();
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(Say(*stream, "one"), absl::OkStatus());
    ASSERT_EQ(Hear(*stream).value(), "one");
  }
  const auto processor_time = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return absl::DurationFromTimespec(time);
  };
  const absl::Duration before = processor_time();
  // The first of these waits may look for a while, the others have waited long already.
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Hear(*stream, absl::Milliseconds(50)).status().code(), absl::StatusCode::kDeadlineExceeded);
  }
  EXPECT_LT(processor_time() - before, absl::Milliseconds(100));
}

INSTANTIATE_TEST_SUITE_P(, DrivenStreamTest, testing::Values(absl::ZeroDuration(), absl::Milliseconds(30)),
                         [](const auto& parameter) {
                           return parameter.param == absl::ZeroDuration() ? "Sleeping" : "Looking";
                         });

}  // namespace
}  // namespace dotagent::rpc
