// gRPC's threads take turns, and still do all that there is to do.
#include "common/rpc/poller_crew.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/server_callback.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"

namespace dotagent::rpc {
namespace {

namespace v1 = ::dotagent::gateway::v1;

constexpr auto kPatience = std::chrono::seconds(30);

// Who asks with "wait" is answered when another has asked with "go", and blocks the thread that serves it until then.
class Service : public v1::GatewayService::CallbackService {
 public:
  grpc::ServerUnaryReactor* Challenge(grpc::CallbackServerContext* context, const v1::ChallengeRequest* request,
                                      v1::ChallengeResponse*) override {
    if (request->client_nonce() == "wait") {
      blocked_.Notify();
      went_ = go_.WaitForNotificationWithTimeout(absl::FromChrono(kPatience));
    }
    if (request->client_nonce() == "go") go_.Notify();
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  [[nodiscard]] bool went() const { return went_; }
  void AwaitBlocked() { blocked_.WaitForNotification(); }

 private:
  absl::Notification blocked_;
  absl::Notification go_;
  std::atomic<bool> went_ = false;
};

class PollerCrewTest : public testing::Test {
 protected:
  static grpc::Status Call(v1::GatewayService::Stub& stub, const std::string& text) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::ChallengeRequest request;
    request.set_client_nonce(text);
    v1::ChallengeResponse response;
    return stub.Challenge(&context, request, &response);
  }

  Service service_;
  std::unique_ptr<Server> server_ = *Server::Start({}, {&service_});
  std::unique_ptr<Channel> channel_ = *NewChannel(absl::StrCat("127.0.0.1:", server_->port()), {.plaintext = true});
  std::unique_ptr<v1::GatewayService::Stub> stub_ = v1::GatewayService::NewStub(channel_->grpc());
};

TEST_F(PollerCrewTest, StandsWhereGrpcCallsIt) { EXPECT_TRUE(CheckPollerCrew().ok()) << CheckPollerCrew(); }

TEST_F(PollerCrewTest, ACallbackThatBlocksHoldsUpNobodyForLong) {
  std::thread blocked([&] { EXPECT_TRUE(Call(*stub_, "wait").ok()); });
  service_.AwaitBlocked();
  EXPECT_TRUE(Call(*stub_, "go").ok());
  blocked.join();
  EXPECT_TRUE(service_.went());
}

TEST_F(PollerCrewTest, ManyAtOnceAreAllServed) {
  std::vector<std::thread> callers;
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([&] {
      for (int j = 0; j < 200; ++j) ASSERT_TRUE(Call(*stub_, "now").ok());
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// Its threads end with the last server, and the next one has threads of its own.
TEST_F(PollerCrewTest, ServersComeAndGo) {
  for (int i = 0; i < 5; ++i) {
    Service service;
    const auto server = *Server::Start({}, {&service});
    const auto channel = *NewChannel(absl::StrCat("127.0.0.1:", server->port()), {.plaintext = true});
    const auto stub = v1::GatewayService::NewStub(channel->grpc());
    EXPECT_TRUE(Call(*stub, "now").ok());
  }
}

TEST(PollerCrewWithoutOthersTest, ServersComeAndGo) {
  for (int i = 0; i < 5; ++i) {
    Service service;
    const auto server = *Server::Start({}, {&service});
  }
}

}  // namespace
}  // namespace dotagent::rpc
