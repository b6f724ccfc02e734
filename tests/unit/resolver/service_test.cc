// The resolver as it runs, over gRPC: what the cache answers on gRPC's own threads while the loop changes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/identity/revocation.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"
#include "services/resolver/resolver_service.h"
#include "tests/unit/p2p/fixtures.h"
#include "tests/unit/resolver/samples.h"

namespace dotagent::resolver_service {
namespace {

namespace v1 = ::dotagent::resolver::v1;
using Stub = v1::ResolverService::Stub;

constexpr absl::Duration kPatience = absl::Seconds(30);

class ResolverServiceTest : public testing::Test {
 protected:
  ResolverServiceTest() {
    const std::string test = testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = absl::StrCat(testing::TempDir(), "/resolver-", test, "-", getpid());
    options_.host.data_dir = folder_;
    options_.host.drain_grace = absl::Seconds(5);
    Open();
  }
  ~ResolverServiceTest() override {
    Close();
    std::filesystem::remove_all(folder_);
  }

  void Open() {
    auto service = Start(options_);
    ASSERT_TRUE(service.ok()) << service.status();
    service_ = *std::move(service);
    auto channel = rpc::NewChannel(service_->host().grpc_address(), {});
    ASSERT_TRUE(channel.ok()) << channel.status();
    channel_ = *std::move(channel);
    ASSERT_TRUE(channel_->WaitUntilReady(kPatience).ok());
    stub_ = v1::ResolverService::NewStub(channel_->grpc());
  }
  void Close() {
    stub_.reset();
    channel_.reset();
    service_.reset();
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
    Response response;
    RETURN_IF_ERROR(rpc::FromGrpc((stub_.get()->*method)(&context, request, &response)));
    return response;
  }
  absl::Status Publish(const record::Record& record) {
    v1::PublishRequest request;
    request.set_record_json(record.json());
    return Call(&Stub::Publish, request).status();
  }
  absl::StatusOr<v1::ResolveResponse> Resolve(const std::string& name) {
    v1::ResolveRequest request;
    request.set_name(name);
    return Call(&Stub::Resolve, request);
  }

  std::string folder_;
  Options options_;
  std::unique_ptr<host::Service> service_;
  std::unique_ptr<rpc::Channel> channel_;
  std::unique_ptr<Stub> stub_;
  const crypto::SigningKey bob_ = KeyFromSeed(1);
};

TEST_F(ResolverServiceTest, NobodyIsToldAnOldRecordOnceThePublishOfANewerOneHasReturned) {
  constexpr int kRounds = 30;
  constexpr int kReaders = 3;
  const absl::Time start = absl::Now();
  ASSERT_TRUE(Publish(SignedRecord(bob_, "bob.agent", start)).ok());
  std::atomic<int> published = 0;
  std::atomic<bool> revoked = false;
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::atomic<int> refused = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const int at_least = published;
        const bool was_revoked = revoked;
        const auto answer = Resolve("bob.agent");
        if (was_revoked) {
          if (ReasonOf(answer.status()) == reason::kKeyRevoked) ++refused;
          if (answer.ok()) ++wrong;
          continue;
        }
        if (!answer.ok()) continue;  // the revocation is on its way
        const auto record = record::Record::Verify(answer->record_json(), absl::Now());
        if (!record.ok() || record->timestamp() < start + absl::Milliseconds(at_least - 1)) ++wrong;
      }
    });
  }
  for (int i = 1; i <= kRounds; ++i) {
    EXPECT_TRUE(Publish(SignedRecord(bob_, "bob.agent", start + absl::Milliseconds(i))).ok());
    published = i;
  }
  v1::PublishRevocationRequest request;
  request.set_statement(identity::SignRevocation(bob_, "stolen", absl::Now()).value());
  EXPECT_TRUE(Call(&Stub::PublishRevocation, request).ok());
  revoked = true;
  const absl::Time deadline = absl::Now() + kPatience;
  while (refused < kReaders && wrong == 0 && absl::Now() < deadline) std::this_thread::yield();
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GE(refused, kReaders);
}

TEST_F(ResolverServiceTest, AnswersSayWhatTheyAre) {
  ASSERT_TRUE(Publish(SignedRecord(bob_, "bob.agent", absl::Now())).ok());
  const auto cached = Resolve("BOB.agent");
  ASSERT_TRUE(cached.ok()) << cached.status();
  EXPECT_EQ(cached->source(), v1::ANSWER_SOURCE_CACHE);
  EXPECT_EQ(cached->hops(), 0U);
  EXPECT_EQ(cached->messages(), 0U);
  EXPECT_EQ(cached->agreeing_nodes(), 1U);
  EXPECT_FALSE(cached->stale());
  EXPECT_GT(cached->remaining_ttl_s(), 0U);
  EXPECT_LE(cached->remaining_ttl_s(), 5U);
  EXPECT_GT(cached->record_ttl_s(), 86'000U);
  EXPECT_EQ(cached->owner(), identity::AgentId::FromFirstKey(bob_.public_key()).bytes());

  EXPECT_EQ(ReasonOf(Resolve("nobody.agent").status()), reason::kNameNotFound);
  EXPECT_EQ(ReasonOf(Resolve("nobody.agent").status()), reason::kNameNotFound) << "and from the cache";
  EXPECT_EQ(ReasonOf(Resolve("nobody").status()), reason::kBadName);

  v1::BatchResolveRequest request;
  request.add_names("bob.agent");
  request.add_names("nobody.agent");
  const auto batch = Call(&Stub::BatchResolve, request);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->results(0).answer().record_json(), cached->record_json());
  EXPECT_EQ(batch->results(1).error().reason(), reason::kNameNotFound);
}

TEST_F(ResolverServiceTest, WhoHoldsANameIsWrittenDown) {
  EXPECT_TRUE(absl::IsNotFound(service_->host().store().Get("resolver/pin/bob.agent").status()));
  ASSERT_TRUE(Publish(SignedRecord(bob_, "bob.agent", absl::Now())).ok());
  EXPECT_TRUE(service_->host().store().Get("resolver/pin/bob.agent").ok());
}

TEST_F(ResolverServiceTest, ARevokedNodesSessionEndsAndItIsNotTakenInAgainAlsoAfterARestart) {
  p2p::Loop loop;
  p2p::TestNode node(loop);
  const auto connect = [&] {
    const auto address = p2p::Multiaddr::Parse(service_->host().p2p_addresses().at(0));
    return node.Connect({address->peer, {*address}}).status();
  };
  const auto sessions_here = [&] {
    return service_->host().loop().Run([&] { return service_->host().node().open_sessions(); });
  };
  const auto turned_away = [&] {
    return p2p::Eventually(loop, [&] { return node.node().open_sessions() == 0; }) && sessions_here() == 0;
  };
  ASSERT_EQ(connect(), absl::OkStatus());
  // Who dials has a session a moment before who listens.
  ASSERT_TRUE(p2p::Eventually(loop, [&] { return sessions_here() == 1; }));
  v1::PublishRevocationRequest request;
  request.set_statement(identity::SignRevocation(node.signer(), "stolen", absl::Now()).value());
  EXPECT_TRUE(Call(&Stub::PublishRevocation, request).ok());
  EXPECT_TRUE(turned_away());
  for (int start = 0; start < 2; ++start) {
    (void)connect();  // it may believe to have a session until it is hung up on
    EXPECT_TRUE(turned_away());
    telemetry::Metrics& metrics = service_->host().metrics();
    EXPECT_EQ(metrics.AddCounter("dotagent_p2p_refused_total", "", {{"cause", "key"}}).Value(), 1);
    Close();
    Open();
  }
}

}  // namespace
}  // namespace dotagent::resolver_service
