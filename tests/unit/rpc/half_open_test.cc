// A gRPC stream whose other end vanishes without a word, in a network of its own that is switched off under it.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"
#include "tests/unit/network/own_network.h"

namespace dotagent::rpc {
namespace {

namespace v1 = ::dotagent::resolver::v1;

// 30 s is what keepalive.h promises a client; the rest is for a machine that is busy.
constexpr std::chrono::seconds kBound{40};

// Watch says nothing, as an inbox to which nobody writes, until it is cancelled.
class Silent : public v1::ResolverService::CallbackService {
 public:
  grpc::ServerWriteReactor<v1::WatchResponse>* Watch(grpc::CallbackServerContext*, const v1::WatchRequest*) override {
    class Call : public grpc::ServerWriteReactor<v1::WatchResponse> {
     public:
      explicit Call(absl::Notification& cancelled) : cancelled_(cancelled) { StartSendInitialMetadata(); }
      void OnCancel() override {
        cancelled_.Notify();
        Finish(grpc::Status::CANCELLED);
      }
      void OnDone() override { delete this; }

     private:
      absl::Notification& cancelled_;
    };
    return new Call(cancelled);
  }

  absl::Notification cancelled;  // the one call
};

// A Watch call that is open.
class Watcher {
 public:
  Watcher(const Channel& channel, std::chrono::seconds patience) : stub_(v1::ResolverService::NewStub(channel.grpc())) {
    context_.set_deadline(std::chrono::system_clock::now() + patience);
    reader_ = stub_->Watch(&context_, {});
    reader_->WaitForInitialMetadata();
  }
  ~Watcher() { context_.TryCancel(); }
  // Waits for what never comes.
  grpc::Status ReadToItsEnd() {
    v1::WatchResponse response;
    while (reader_->Read(&response)) {
    }
    return reader_->Finish();
  }

 private:
  const std::unique_ptr<v1::ResolverService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> reader_;
};

// What this thread's network has to carry still: sent and not acknowledged, or received and not read.
bool SomethingIsOnItsWay() {
  std::ifstream sockets("/proc/thread-self/net/tcp");
  std::string line;
  std::getline(sockets, line);
  while (std::getline(sockets, line)) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() > 4 && words[4] != "00000000:00000000") return true;  // tx_queue:rx_queue
  }
  return false;
}

// What is not acknowledged when the network goes would let the kernel end the connection (TCP_USER_TIMEOUT): an inbox
// to which nobody writes has nothing under way.
void AwaitQuiet() {
  const auto given_up = std::chrono::steady_clock::now() + kBound;
  auto quiet_since = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - quiet_since < std::chrono::milliseconds(500)) {
    if (SomethingIsOnItsWay()) quiet_since = std::chrono::steady_clock::now();
    ASSERT_LT(std::chrono::steady_clock::now(), given_up) << "the connection is never quiet";
    std::this_thread::yield();
  }
}

void ExpectBothEndsNotice() {
  ASSERT_TRUE(SetLoopback(true));
  SystemRandom random;
  const auto certificate = *identity::MakeNodeCertificate(crypto::SigningKey::Generate(random), {}, absl::Now());
  Silent service;
  // The server's own time would take the test too long; that it looks at all is the question.
  constexpr Keepalive kSoon{.after = std::chrono::seconds(10), .timeout = std::chrono::seconds(10)};
  auto server = Server::Start({.certificate = &certificate, .keepalive = kSoon}, {&service});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto channel = *NewChannel(absl::StrCat("127.0.0.1:", (*server)->port()), {});
  ASSERT_TRUE(channel->WaitUntilReady(absl::Seconds(20)).ok());
  Watcher watcher(*channel, 2 * kBound);
  ASSERT_NO_FATAL_FAILURE(AwaitQuiet());

  ASSERT_TRUE(SetLoopback(false));
  const auto cut = std::chrono::steady_clock::now();
  // No reset, no end of the stream reaches either of them.
  EXPECT_EQ(watcher.ReadToItsEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_LE(std::chrono::steady_clock::now() - cut, kBound);
  EXPECT_TRUE(service.cancelled.WaitForNotificationWithTimeout(absl::FromChrono(kBound)));
  EXPECT_LE(std::chrono::steady_clock::now() - cut, kBound);

  ASSERT_TRUE(SetLoopback(true));
  // The same channel connects anew.
  EXPECT_TRUE(channel->grpc()->WaitForConnected(std::chrono::system_clock::now() + kBound));
}

TEST(HalfOpenTest, BothEndsOfACallNotice) {
  if (!InOwnNetwork(ExpectBothEndsNotice)) GTEST_SKIP() << "a network of its own needs root";
}

}  // namespace
}  // namespace dotagent::rpc
