#include "common/rpc/server_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/base/status.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"

namespace dotagent::rpc {
namespace {

namespace v1 = ::dotagent::resolver::v1;

using ::testing::ElementsAre;

// One thread that does what it is given, in order.
class Worker {
 public:
  ~Worker() {
    Post(nullptr);
    thread_.join();
  }
  void Post(std::function<void()> work) {
    absl::MutexLock lock(&mutex_);
    waiting_.push_back(std::move(work));
  }
  [[nodiscard]] Executor executor() {
    return [this](std::function<void()> work) { Post(std::move(work)); };
  }
  // Does `work` there and waits until it is done.
  void Run(const std::function<void()>& work) {
    absl::Notification done;
    Post([&] {
      work();
      done.Notify();
    });
    done.WaitForNotification();
  }

 private:
  void Loop() {
    for (;;) {
      mutex_.LockWhen(absl::Condition(
          +[](std::deque<std::function<void()>>* waiting) { return !waiting->empty(); }, &waiting_));
      const auto work = std::move(waiting_.front());
      waiting_.pop_front();
      mutex_.Unlock();
      if (work == nullptr) return;
      work();
    }
  }
  absl::Mutex mutex_;
  std::deque<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_{[this] { Loop(); }};
};

// What a stream's handler would be; the worker's alone.
struct Source {
  std::deque<std::string> news;
  absl::Status broken;  // what Next answers when the news has been told
  std::function<void()> wake;
  std::function<void(absl::Status)> end;
  int pulled = 0;
  absl::Notification over;
};

class TestStream : public ServerStream<v1::WatchResponse> {
 public:
  TestStream(const Executor& post, Source& source) : ServerStream(post), source_(source) {}

 private:
  void Begin() override {
    source_.wake = [this, alive = weak_from_this()] {
      if (const auto held = alive.lock()) Wake();
    };
    source_.end = [this, alive = weak_from_this()](const absl::Status& why) {
      if (const auto held = alive.lock()) End(why);
    };
    Wake();
  }
  absl::StatusOr<std::optional<v1::WatchResponse>> Next() override {
    if (source_.news.empty()) {
      if (!source_.broken.ok()) return source_.broken;
      return std::nullopt;
    }
    ++source_.pulled;
    v1::WatchResponse response;
    response.set_record_json(source_.news.front());
    source_.news.pop_front();
    return response;
  }
  void Over() override { source_.over.Notify(); }

  Source& source_;
};

class WatchService : public v1::ResolverService::CallbackService {
 public:
  WatchService(Executor post, Source& source) : post_(std::move(post)), source_(source) {}
  grpc::ServerWriteReactor<v1::WatchResponse>* Watch(grpc::CallbackServerContext*, const v1::WatchRequest*) override {
    return TestStream::Start(std::make_shared<TestStream>(post_, source_));
  }

 private:
  const Executor post_;
  Source& source_;
};

class ServerStreamTest : public testing::Test {
 protected:
  void SetUp() override {
    server_ = *Server::Start({}, {&service_});
    channel_ = *NewChannel(absl::StrCat("127.0.0.1:", server_->port()), {.plaintext = true});
    stub_ = v1::ResolverService::NewStub(channel_->grpc());
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }
  void TearDown() override { server_->Drain(absl::Seconds(10)); }

  void Watch() {
    stream_ = stub_->Watch(&context_, v1::WatchRequest());
    // The stream has begun when the worker has got so far; the first message tells.
  }
  std::vector<std::string> ReadAll() {
    std::vector<std::string> all;
    v1::WatchResponse response;
    while (stream_->Read(&response)) all.push_back(response.record_json());
    return all;
  }

  Worker worker_;
  Source source_;
  WatchService service_{worker_.executor(), source_};
  std::unique_ptr<Server> server_;
  std::unique_ptr<Channel> channel_;
  std::unique_ptr<v1::ResolverService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> stream_;
};

TEST_F(ServerStreamTest, WritesInOrderThenEndsWithTheError) {
  source_.news = {"one", "two", "three"};
  source_.broken = ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage, "the log cannot be read");
  Watch();
  EXPECT_THAT(ReadAll(), ElementsAre("one", "two", "three"));
  const absl::Status end = FromGrpc(stream_->Finish());
  EXPECT_EQ(end.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReasonOf(end), reason::kStorage);
  source_.over.WaitForNotification();
}

TEST_F(ServerStreamTest, WakeWritesWhatCameLater) {
  source_.news = {"one"};
  Watch();
  v1::WatchResponse response;
  ASSERT_TRUE(stream_->Read(&response));
  worker_.Run([&] {
    source_.news = {"two"};
    source_.wake();
    source_.wake();  // for nothing
  });
  ASSERT_TRUE(stream_->Read(&response));
  EXPECT_EQ(response.record_json(), "two");
  worker_.Run([&] {
    source_.end(absl::OkStatus());
    source_.end(absl::InternalError("too late"));
    source_.news = {"three"};
    source_.wake();  // after the end: nothing
  });
  EXPECT_THAT(ReadAll(), ElementsAre());
  EXPECT_TRUE(stream_->Finish().ok());
  source_.over.WaitForNotification();
  EXPECT_EQ(source_.pulled, 2);
}

TEST_F(ServerStreamTest, AClientThatDoesNotReadHoldsUpThePulling) {
  constexpr int kMessages = 400;
  const std::string large(64 * 1024, 'x');
  source_.news.assign(kMessages, large);
  Watch();
  stream_->WaitForInitialMetadata();
  v1::WatchResponse response;
  ASSERT_TRUE(stream_->Read(&response));
  int pulled = 0;
  worker_.Run([&] { pulled = source_.pulled; });
  EXPECT_GE(pulled, 1);
  EXPECT_LT(pulled, kMessages);
  worker_.Run([&] { source_.broken = absl::OutOfRangeError("that was all"); });
  EXPECT_EQ(ReadAll().size(), kMessages - 1);
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::OUT_OF_RANGE);
}

TEST_F(ServerStreamTest, ACancelledCallIsOver) {
  source_.news = {"one"};
  Watch();
  v1::WatchResponse response;
  ASSERT_TRUE(stream_->Read(&response));
  context_.TryCancel();
  source_.over.WaitForNotification();
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::CANCELLED);
  // The handler's callbacks may outlive the stream.
  worker_.Run([&] {
    source_.news = {"two"};
    source_.wake();
  });
  EXPECT_EQ(source_.pulled, 1);
}

TEST_F(ServerStreamTest, ADrainEndsIt) {
  source_.news = {"one"};
  Watch();
  v1::WatchResponse response;
  ASSERT_TRUE(stream_->Read(&response));
  server_->Drain(absl::Milliseconds(50));
  source_.over.WaitForNotification();
  EXPECT_FALSE(stream_->Finish().ok());
}

}  // namespace
}  // namespace dotagent::rpc
