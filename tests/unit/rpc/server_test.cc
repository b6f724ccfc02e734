#include "common/rpc/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/rpc/call.h"
#include "common/rpc/channel.h"
#include "common/rpc/hpack_guard.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"

namespace dotagent::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A node's key and certificate.
struct Node {
  crypto::SigningKey key;
  identity::NodeCertificate certificate;

  static Node Make(uint64_t seed) {
    SeededRandom random(seed);
    auto key = crypto::SigningKey::Generate(random);
    auto certificate = *identity::MakeNodeCertificate(key, {}, absl::Now());
    return {std::move(key), std::move(certificate)};
  }
  [[nodiscard]] std::string id() const { return crypto::PeerIdFromKey(key.public_key()); }
};

// Resolve answers with who called; Watch never ends by itself.
class WhoAmI : public resolver::v1::ResolverService::CallbackService {
 public:
  grpc::ServerUnaryReactor* Resolve(grpc::CallbackServerContext* context, const resolver::v1::ResolveRequest*,
                                    resolver::v1::ResolveResponse* response) override {
    const Executor inline_executor = [](const std::function<void()>& work) { work(); };
    return Unary(context, inline_executor, response, [context](const Done<resolver::v1::ResolveResponse>& done) {
      const auto key = PeerKey(*context, absl::Now());
      if (!key.ok()) return done(key.status());
      resolver::v1::ResolveResponse answer;
      answer.set_record_json(absl::StrCat(crypto::PeerIdFromKey(*key), " ", context->peer()));
      done(answer);
    });
  }

  grpc::ServerWriteReactor<resolver::v1::WatchResponse>* Watch(grpc::CallbackServerContext*,
                                                               const resolver::v1::WatchRequest*) override {
    class Endless : public grpc::ServerWriteReactor<resolver::v1::WatchResponse> {
     public:
      Endless() { StartSendInitialMetadata(); }
      void OnCancel() override { Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }
    };
    return new Endless;
  }
};

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = Server::Start({.certificate = &node_.certificate}, {&service_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  [[nodiscard]] std::string address() const { return absl::StrCat("127.0.0.1:", server_->port()); }

  static absl::StatusOr<std::string> WhoAmI(const Channel& channel) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    resolver::v1::ResolveResponse response;
    const auto stub = resolver::v1::ResolverService::NewStub(channel.grpc());
    RETURN_IF_ERROR(FromGrpc(stub->Resolve(&context, {}, &response)));
    return response.record_json();
  }

  const Node node_ = Node::Make(1);
  const Node client_ = Node::Make(2);
  class WhoAmI service_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, TheGuardIsInPlace) { EXPECT_TRUE(CheckHpackGuard().ok()) << CheckHpackGuard(); }

TEST_F(ServerTest, BothSidesLearnTheOthersKey) {
  const auto channel = *NewChannel(absl::StrCat(node_.id(), "@", address()), {.certificate = &client_.certificate});
  EXPECT_EQ(ReasonOf(channel->server().status()), reason::kUnreachable);
  ASSERT_TRUE(channel->WaitUntilReady(absl::Seconds(20)).ok());
  EXPECT_EQ(channel->server()->node_key, node_.key.public_key());
  EXPECT_EQ(channel->server()->sha256, node_.certificate.sha256);
  EXPECT_THAT(*WhoAmI(*channel), StartsWith(absl::StrCat(client_.id(), " ipv4:127.0.0.1:")));
}

TEST_F(ServerTest, ACallerWithoutCertificateIsToldSo) {
  const auto channel = *NewChannel(address(), {});
  const absl::Status status = WhoAmI(*channel).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(status), reason::kNotAuthenticated);
}

TEST_F(ServerTest, AnotherKeyThanThePinnedOneIsRefused) {
  const auto channel = *NewChannel(absl::StrCat(client_.id(), "@", address()), {});
  const absl::Status status = channel->WaitUntilReady(absl::Seconds(20));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(status), reason::kKeyMismatch);
  EXPECT_THAT(status.message(), AllOf(HasSubstr(address()), HasSubstr(node_.id()), HasSubstr(client_.id())));
}

TEST_F(ServerTest, NobodyThereIsUnreachable) {
  const std::string target = address();
  server_.reset();
  const auto channel = *NewChannel(target, {});
  const absl::Status status = channel->WaitUntilReady(absl::Seconds(20));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(status), reason::kUnreachable);
  EXPECT_THAT(status.message(), HasSubstr(target));
}

TEST_F(ServerTest, TargetsAreChecked) {
  for (const char* bad : {"", "host", ":1", "host:", "host:0", "host:65536", "x@host:1", "a@b@host:1", "host:1x"}) {
    EXPECT_EQ(ReasonOf(NewChannel(bad, {}).status()), reason::kBadAddress) << bad;
  }
}

TEST_F(ServerTest, APortInUseIsNamed) {
  const auto second = Server::Start({.listen = address(), .certificate = &node_.certificate}, {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(second.status().message(), HasSubstr(address()));
}

TEST_F(ServerTest, WithoutTlsItServesLoopbackOnly) {
  EXPECT_EQ(Server::Start({.listen = "0.0.0.0:0"}, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Server::Start({.listen = "localhost:0"}, {}).ok());
  for (const char* bad : {"127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"}) {
    EXPECT_EQ(ReasonOf(Server::Start({.listen = bad}, {}).status()), reason::kBadAddress) << bad;
  }
}

TEST_F(ServerTest, DrainCancelsWhatDoesNotEnd) {
  const auto channel = *NewChannel(address(), {});
  const auto stub = resolver::v1::ResolverService::NewStub(channel->grpc());
  grpc::ClientContext context;
  const auto stream = stub->Watch(&context, {});
  stream->WaitForInitialMetadata();

  const absl::Time start = absl::Now();
  server_->Drain(absl::Milliseconds(100));
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  resolver::v1::WatchResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_FALSE(stream->Finish().ok());
  server_->Drain(absl::Seconds(1));
}

}  // namespace
}  // namespace dotagent::rpc
