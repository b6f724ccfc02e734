// Identity over real gRPC, going and coming back: whoever watches its revocations and was cut off goes on from its
// cursor and misses none; strangers are told apart by their addresses.
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/abuse/refusal.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"
#include "common/identity/revocation.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "dotagent/identity/v1/identity.grpc.pb.h"
#include "services/host/revocation_feed.h"
#include "services/identity/identity_service.h"
#include "tests/unit/identity_service/fixtures.h"

namespace dotagent::identity_service {
namespace {

namespace v1 = ::dotagent::identity::v1;

constexpr std::chrono::seconds kPatience{30};

class RunningIdentityTest : public testing::Test {
 protected:
  RunningIdentityTest() {
    std::string folder = testing::TempDir() + "/identity_test_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    StartIdentity();
  }
  ~RunningIdentityTest() override {
    feed_.reset();
    watcher_.reset();
    service_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  // Where it was before, if it was.
  void StartIdentity(const StrangerLimits& strangers = {}) {
    auto service = Start({.host = {.data_dir = folder_ + "/identity",
                                   .grpc_listen = address_,
                                   .p2p_listen = "",
                                   .drain_grace = absl::ZeroDuration()},
                          .strangers = strangers});
    ASSERT_TRUE(service.ok()) << service.status();
    service_ = *std::move(service);
    address_ = service_->host().grpc_address();
  }
  // Every stream breaks off.
  void StopIdentity() { service_.reset(); }

  void Follow() {
    auto host = host::Host::Create("resolver", {.data_dir = folder_ + "/watcher", .p2p_listen = ""}, 1);
    ASSERT_TRUE(host.ok()) << host.status();
    watcher_ = *std::move(host);
    auto feed = host::RevocationFeed::Create(*watcher_, address_,
                                             [this](const identity::Revocation&, const std::string& statement) {
                                               absl::MutexLock lock(&mutex_);
                                               told_.push_back(statement);
                                             });
    ASSERT_TRUE(feed.ok()) << feed.status();
    feed_ = *std::move(feed);
  }
  std::vector<std::string> AwaitTold(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return told_.size() >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::FromChrono(kPatience)));
    return told_;
  }

  // A caller's own connection, for each call a new one.
  std::unique_ptr<v1::IdentityService::Stub> Connect() {
    auto channel = rpc::NewChannel(address_, {});
    EXPECT_TRUE(channel.ok()) << channel.status();
    channel_ = *std::move(channel);
    EXPECT_TRUE(channel_->WaitUntilReady(absl::FromChrono(kPatience)).ok());
    return v1::IdentityService::NewStub(channel_->grpc());
  }
  absl::Status Tell(const std::string& statement) {
    v1::RevokeRequest request;
    request.set_statement(statement);
    v1::RevokeResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    return rpc::FromGrpc(Connect()->Revoke(&context, request, &response));
  }
  static std::string StatementOf(uint64_t seed) {
    return identity::SignRevocation(KeyFromSeed(seed), "lost", absl::Now()).value();
  }
  // Revokes the key of this seed and returns the statement.
  std::string Revoke(uint64_t seed) {
    std::string statement = StatementOf(seed);
    const absl::Status revoked = Tell(statement);
    EXPECT_TRUE(revoked.ok()) << revoked;
    return statement;
  }
  // Reads on from a cursor, which it moves, until the past has been told or `most` have come; then hangs up.
  std::vector<std::string> Read(uint64_t& cursor, size_t most) {
    v1::WatchRevocationsRequest request;
    request.set_after_sequence(cursor);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    const auto stub = Connect();
    const auto stream = stub->WatchRevocations(&context, request);
    std::vector<std::string> statements;
    v1::WatchRevocationsResponse response;
    while (statements.size() < most && stream->Read(&response) && !response.statement().empty()) {
      EXPECT_EQ(response.sequence(), cursor + 1);
      cursor = response.sequence();
      statements.push_back(response.statement());
    }
    context.TryCancel();
    (void)stream->Finish();
    return statements;
  }

  std::string folder_;
  std::string address_ = "127.0.0.1:0";
  std::unique_ptr<host::Service> service_;
  std::unique_ptr<host::Host> watcher_;
  std::unique_ptr<host::RevocationFeed> feed_;
  std::unique_ptr<rpc::Channel> channel_;
  absl::Mutex mutex_;
  std::vector<std::string> told_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(RunningIdentityTest, AServiceThatFollowsMissesNoneOverRestarts) {
  std::vector<std::string> revoked = {Revoke(1)};
  Follow();
  for (uint64_t round = 1; round <= 3; ++round) {
    // One while it watches, one behind the restart, most likely before it watches again.
    revoked.push_back(Revoke(2 * round));
    EXPECT_EQ(AwaitTold(revoked.size()), revoked);
    StopIdentity();
    StartIdentity();
    revoked.push_back(Revoke(2 * round + 1));
  }
  EXPECT_EQ(AwaitTold(revoked.size()), revoked);
}

TEST_F(RunningIdentityTest, AStreamThatIsCutGoesOnFromItsCursor) {
  std::vector<std::string> revoked;
  for (uint64_t seed = 1; seed <= 5; ++seed) revoked.push_back(Revoke(seed));
  uint64_t cursor = 0;
  std::vector<std::string> read = Read(cursor, 2);  // and hangs up while three are on their way
  EXPECT_EQ(cursor, 2U);
  StopIdentity();
  StartIdentity();
  revoked.push_back(Revoke(6));
  for (std::string& statement : Read(cursor, SIZE_MAX)) read.push_back(std::move(statement));
  EXPECT_EQ(read, revoked);
  EXPECT_TRUE(Read(cursor, SIZE_MAX).empty());
}

TEST_F(RunningIdentityTest, AnAddressHasARateForStrangersWhateverItsConnections) {
  StopIdentity();
  StartIdentity({.rate = {.per_second = 0.001, .burst = 2}});
  Revoke(1);
  Revoke(2);
  const absl::Status refused = Tell(StatementOf(3));
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), abuse::kRateLimited) << refused;
  EXPECT_GT(RetryAfterOf(refused).value_or(absl::ZeroDuration()), absl::Minutes(1));
}

}  // namespace
}  // namespace dotagent::identity_service
