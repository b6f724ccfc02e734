// The publisher on a real host, and a resolver that is played here.
#include <grpcpp/support/server_callback.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"
#include "services/identity/resolver_directory.h"
#include "tests/unit/identity_service/fixtures.h"

namespace dotagent::identity_service {
namespace {

namespace v1 = ::dotagent::resolver::v1;

constexpr absl::Duration kPatience = absl::Seconds(30);

// Takes statements, after a number of refusals.
class FakeResolver : public v1::ResolverService::CallbackService {
 public:
  grpc::ServerUnaryReactor* PublishRevocation(grpc::CallbackServerContext* context,
                                              const v1::PublishRevocationRequest* request,
                                              v1::PublishRevocationResponse*) override {
    absl::MutexLock lock(&mutex_);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    if (disliked_.contains(request->statement())) {
      ++disliked_tries_;
      reactor->Finish(rpc::ToGrpc(absl::InvalidArgumentError("it is dated ahead")));
    } else if (refusals_ > 0) {
      --refusals_;
      reactor->Finish(rpc::ToGrpc(absl::UnavailableError("no node of the DHT answers")));
    } else {
      statements_.push_back(request->statement());
      reactor->Finish(grpc::Status::OK);
    }
    return reactor;
  }

  void RefuseNext(int refusals) {
    absl::MutexLock lock(&mutex_);
    refusals_ = refusals;
  }
  // Finds fault with a statement until Like.
  void Dislike(const std::string& statement) {
    absl::MutexLock lock(&mutex_);
    disliked_.insert(statement);
  }
  void Like(const std::string& statement) {
    absl::MutexLock lock(&mutex_);
    disliked_.erase(statement);
  }
  // Until it was asked so often to take one that it dislikes.
  void AwaitTries(int tries) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return disliked_tries_ >= tries; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
  }
  // What has come, once it is `count` statements; fails the test if it never is.
  std::vector<std::string> Await(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return statements_.size() >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
    return statements_;
  }

 private:
  absl::Mutex mutex_;
  int refusals_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<std::string> disliked_ ABSL_GUARDED_BY(mutex_);
  int disliked_tries_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> statements_ ABSL_GUARDED_BY(mutex_);
};

class RevocationPublisherTest : public testing::Test {
 protected:
  RevocationPublisherTest() {
    std::string folder = testing::TempDir() + "/publisher_test_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    server_ = *rpc::Server::Start({}, {&resolver_});
    OpenHost();
  }
  ~RevocationPublisherTest() override {
    Stop();
    host_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  void OpenHost() {
    auto host = host::Host::Create("identity", {.data_dir = folder_ + "/data"}, 1);
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
  }
  void Start() {
    auto channel = rpc::NewChannel(absl::StrCat("127.0.0.1:", server_->port()), {.plaintext = true});
    ASSERT_TRUE(channel.ok()) << channel.status();
    directory_ = std::make_unique<ResolverDirectory>(*std::move(channel), host_->clock(), host_->executor());
    publisher_ = std::make_shared<RevocationPublisher>(*host_, identity_.handler, *directory_);
    const absl::Status started = host_->loop().Run([&] { return publisher_->Start(); });
    ASSERT_TRUE(started.ok()) << started;
  }
  void Stop() {
    if (!publisher_) return;
    host_->loop().Run([&] { publisher_->Stop(); });
    // The loop may still hold answers that know them.
    host_->Drain();
    host_->loop().Stop();
    publisher_.reset();
    directory_.reset();
  }
  // Revokes the key of this seed, on the loop, and returns the statement.
  std::string Revoke(uint64_t seed) {
    return host_->loop().Run([&] {
      std::string statement = identity_.StatementOf(KeyFromSeed(seed));
      EXPECT_TRUE(identity_.Revoke(statement).ok());
      return statement;
    });
  }

  std::string folder_;
  FakeResolver resolver_;
  std::unique_ptr<rpc::Server> server_;
  TestIdentity identity_;
  std::unique_ptr<host::Host> host_;
  std::unique_ptr<ResolverDirectory> directory_;
  std::shared_ptr<RevocationPublisher> publisher_;
};

TEST_F(RevocationPublisherTest, CarriesOldAndNewOnesInOrder) {
  std::vector<std::string> expected = {Revoke(1), Revoke(2)};
  Start();
  EXPECT_EQ(resolver_.Await(2), expected);
  expected.push_back(Revoke(3));
  EXPECT_EQ(resolver_.Await(3), expected);
}

TEST_F(RevocationPublisherTest, TriesAgainUntilItIsTaken) {
  resolver_.RefuseNext(2);
  const std::vector<std::string> expected = {Revoke(1), Revoke(2)};
  Start();
  EXPECT_EQ(resolver_.Await(2), expected);
}

TEST_F(RevocationPublisherTest, OneThatTheResolverRefusesHoldsUpNoneBehindIt) {
  const std::string ahead = Revoke(1);
  resolver_.Dislike(ahead);
  const std::string second = Revoke(2);
  Start();
  EXPECT_EQ(resolver_.Await(1), (std::vector<std::string>{second}));
  const std::string third = Revoke(3);
  EXPECT_EQ(resolver_.Await(2), (std::vector<std::string>{second, third}));
  resolver_.AwaitTries(2);
  resolver_.Like(ahead);
  EXPECT_EQ(resolver_.Await(3), (std::vector<std::string>{second, third, ahead})) << "it is tried again";
}

TEST_F(RevocationPublisherTest, ARestartForgetsNoneThatWasRefused) {
  const std::string ahead = Revoke(1);
  resolver_.Dislike(ahead);
  const std::string second = Revoke(2);
  Start();
  EXPECT_EQ(resolver_.Await(1), (std::vector<std::string>{second}));
  resolver_.AwaitTries(2);  // the second's answer has been heard
  Stop();
  host_.reset();
  OpenHost();
  resolver_.Like(ahead);
  Start();
  EXPECT_EQ(resolver_.Await(2)[1], ahead);
}

TEST_F(RevocationPublisherTest, ARestartGoesOnWhereItWas) {
  std::vector<std::string> expected = {Revoke(1)};
  Start();
  EXPECT_EQ(resolver_.Await(1), expected);
  // The second has come only when the place behind the first is on disk.
  expected.push_back(Revoke(2));
  EXPECT_EQ(resolver_.Await(2), expected);
  Stop();
  host_.reset();
  OpenHost();
  expected.push_back(Revoke(3));
  Start();
  // The answer to the second may not have been seen: then it comes again, which resolvers take.
  std::vector<std::string> came = resolver_.Await(3);
  if (came[2] == expected[1]) {
    came = resolver_.Await(4);
    came.erase(came.begin() + 2);
  }
  EXPECT_EQ(came, expected);
}

TEST_F(RevocationPublisherTest, WithoutAResolverItWaits) {
  ResolverDirectory nowhere(nullptr, host_->clock(), host_->executor());
  EXPECT_FALSE(nowhere.available());
  absl::StatusOr<crypto::PublicKey> answer = absl::UnknownError("no answer");
  nowhere.KeyOf("bob.agent", [&](absl::StatusOr<crypto::PublicKey> key) { answer = std::move(key); });
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kFailedPrecondition);
  const auto publisher = std::make_shared<RevocationPublisher>(*host_, identity_.handler, nowhere);
  EXPECT_TRUE(host_->loop().Run([&] { return publisher->Start(); }).ok());
  Revoke(1);
  host_->loop().Run([&] { publisher->Stop(); });
}

}  // namespace
}  // namespace dotagent::identity_service
