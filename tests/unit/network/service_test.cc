// Agents that know nothing but the protos, on plain gRPC stubs, and the services as they run.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/identity/challenge.h"
#include "common/record/message.h"
#include "common/record/record.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"
#include "services/gateway/gateway_service.h"
#include "tests/unit/network/live_services.h"

namespace dotagent::gateway_service {
namespace {

namespace v1 = ::dotagent::gateway::v1;
using ChannelCall = grpc::ClientReaderWriter<v1::OpenChannelRequest, v1::OpenChannelResponse>;

constexpr absl::Duration kPatience = absl::Seconds(30);

void SetDeadline(grpc::ClientContext* context) { context->set_deadline(absl::ToChronoTime(absl::Now() + kPatience)); }

class Agent {
 public:
  Agent(const std::string& gateway, std::string name) : name_(std::move(name)) {
    auto channel = rpc::NewChannel(gateway, {});
    EXPECT_TRUE(channel.ok()) << channel.status();
    channel_ = *std::move(channel);
    stub_ = v1::GatewayService::NewStub(channel_->grpc());
  }

  [[nodiscard]] absl::Status Authenticate() {
    RETURN_IF_ERROR(channel_->WaitUntilReady(kPatience));
    ASSIGN_OR_RETURN(const identity::PeerCertificate server, channel_->server());
    v1::ChallengeRequest challenge;
    challenge.set_public_key(std::string(key_.public_key().bytes()));
    challenge.set_client_nonce(random_.Bytes(32));
    v1::ChallengeResponse challenged;
    RETURN_IF_ERROR(Call(&v1::GatewayService::Stub::Challenge, challenge, &challenged));
    v1::AuthenticateRequest answer;
    answer.set_challenge_id(challenged.challenge_id());
    ASSIGN_OR_RETURN(*answer.mutable_signature(), identity::AnswerChallenge({.purpose = "gateway",
                                                                             .client_nonce = challenge.client_nonce(),
                                                                             .server_nonce = challenged.server_nonce(),
                                                                             .client_key = key_.public_key(),
                                                                             .server_key = server.node_key,
                                                                             .channel_binding = server.sha256},
                                                                            challenged.server_signature(), key_));
    v1::AuthenticateResponse authenticated;
    RETURN_IF_ERROR(Call(&v1::GatewayService::Stub::Authenticate, answer, &authenticated));
    token_ = authenticated.token();
    return absl::OkStatus();
  }

  [[nodiscard]] absl::Status Register() {
    v1::GetInfoResponse info;
    RETURN_IF_ERROR(Call(&v1::GatewayService::Stub::GetInfo, v1::GetInfoRequest(), &info));
    ASSIGN_OR_RETURN(const record::Record record,
                     record::Record::Sign({.name = name_,
                                           .addresses = {info.addresses().begin(), info.addresses().end()},
                                           .protocols = {},
                                           .timestamp = absl::Now()},
                                          key_));
    v1::RegisterRequest request;
    request.set_record_json(record.json());
    v1::RegisterResponse response;
    return Call(&v1::GatewayService::Stub::Register, request, &response);
  }

  [[nodiscard]] absl::Status Send(const std::string& to, const std::string& id) {
    ASSIGN_OR_RETURN(
        const record::Message message,
        record::Message::Sign({.id = id, .sender = name_, .recipient = to, .timestamp = absl::Now()}, key_));
    return SendJson(message.json());
  }
  [[nodiscard]] absl::Status SendJson(const std::string& json, const std::string& attachment = "") {
    v1::SendRequest request;
    request.set_message_json(json);
    request.set_attachment(attachment);
    v1::SendResponse response;
    return Call(&v1::GatewayService::Stub::Send, request, &response);
  }

  [[nodiscard]] std::unique_ptr<grpc::ClientReaderWriter<v1::InboxRequest, v1::InboxResponse>> OpenInbox(
      grpc::ClientContext* context) {
    Prepare(context);
    auto inbox = stub_->Inbox(context);
    v1::InboxRequest request;
    request.mutable_open()->set_name(name_);
    request.mutable_open()->set_accept_channels(true);
    inbox->Write(request);
    return inbox;
  }

  [[nodiscard]] std::unique_ptr<ChannelCall> OpenChannel(grpc::ClientContext* context,
                                                         const v1::OpenChannelRequest& first) {
    Prepare(context);
    auto channel = stub_->OpenChannel(context);
    channel->Write(first);
    return channel;
  }

  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  void Prepare(grpc::ClientContext* context) const {
    SetDeadline(context);
    if (!token_.empty()) context->AddMetadata("authorization", absl::StrCat("Bearer ", token_));
  }
  template <typename Request, typename Response>
  [[nodiscard]] absl::Status Call(grpc::Status (v1::GatewayService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                                   Response*),
                                  const Request& request, Response* response) {
    grpc::ClientContext context;
    Prepare(&context);
    return rpc::FromGrpc((stub_.get()->*method)(&context, request, response));
  }

  const std::string name_;
  SystemRandom random_;
  crypto::SigningKey key_ = crypto::SigningKey::Generate(random_);
  std::unique_ptr<rpc::Channel> channel_;
  std::unique_ptr<v1::GatewayService::Stub> stub_;
  std::string token_;
};

class ServiceTest : public LiveServices {
 protected:
  // Alice calls Bob, who sends back what he gets; `path` is how they were connected.
  void Exchange(Agent& alice, Agent& bob, const std::string& path);
};

void ServiceTest::Exchange(Agent& alice, Agent& bob, const std::string& path) {
  grpc::ClientContext inbox_context, alices_context, bobs_context;
  const auto inbox = bob.OpenInbox(&inbox_context);
  v1::InboxResponse event;
  ASSERT_TRUE(inbox->Read(&event)) << inbox->Finish().error_message();
  ASSERT_TRUE(event.has_ready());

  v1::OpenChannelRequest call;
  call.mutable_call()->set_caller(alice.name());
  call.mutable_call()->set_recipient(bob.name());
  const auto alices = alice.OpenChannel(&alices_context, call);
  ASSERT_TRUE(inbox->Read(&event)) << inbox->Finish().error_message();
  ASSERT_TRUE(event.has_offer());
  EXPECT_EQ(event.offer().caller(), alice.name());
  v1::OpenChannelRequest accept;
  accept.mutable_accept()->set_channel_id(event.offer().channel_id());
  const auto bobs = bob.OpenChannel(&bobs_context, accept);
  v1::OpenChannelResponse opened;
  ASSERT_TRUE(alices->Read(&opened)) << alices->Finish().error_message();
  EXPECT_EQ(opened.opened().path(), path);
  ASSERT_TRUE(bobs->Read(&opened)) << bobs->Finish().error_message();
  EXPECT_EQ(opened.opened().path(), path);

  std::thread echo([&] {
    v1::OpenChannelResponse response;
    while (bobs->Read(&response)) {
      v1::OpenChannelRequest request;
      request.set_data(response.data());
      if (!bobs->Write(request)) return;
    }
  });
  SeededRandom random(1);
  const std::string sent = random.Bytes(1 << 20);
  std::thread writer([&] {
    for (size_t at = 0; at < sent.size(); at += 32 * 1024) {
      v1::OpenChannelRequest request;
      request.set_data(sent.substr(at, 32 * 1024));
      if (!alices->Write(request)) return;
    }
  });
  std::string back;
  v1::OpenChannelResponse response;
  while (back.size() < sent.size() && alices->Read(&response)) back += response.data();
  writer.join();
  EXPECT_TRUE(back == sent) << back.size() << " of " << sent.size() << " bytes came back";
  alices->WritesDone();
  EXPECT_FALSE(alices->Read(&response));
  EXPECT_TRUE(alices->Finish().ok());
  echo.join();
  EXPECT_TRUE(bobs->Finish().ok());
  inbox_context.TryCancel();
  while (inbox->Read(&event)) {
  }
  EXPECT_FALSE(inbox->Finish().ok());
}

TEST_F(ServiceTest, AgentsOfTwoGatewaysTalkOverADirectPath) {
  Agent alice(StartGateway("one", false), "alice.agent");
  Agent bob(StartGateway("two", false), "bob.agent");
  for (Agent* agent : {&alice, &bob}) {
    ASSERT_TRUE(agent->Authenticate().ok());
    const absl::Status registered = agent->Register();
    ASSERT_TRUE(registered.ok()) << registered;
  }
  const absl::Status sent = alice.Send("bob.agent", "m1");
  ASSERT_TRUE(sent.ok()) << sent;
  EXPECT_EQ(ReasonOf(alice.Send("nobody.agent", "m2")), reason::kNameNotFound);

  grpc::ClientContext context;
  const auto inbox = bob.OpenInbox(&context);
  v1::InboxResponse event;
  ASSERT_TRUE(inbox->Read(&event));
  EXPECT_EQ(event.ready().pending(), 1u);
  ASSERT_TRUE(inbox->Read(&event));
  v1::InboxRequest ack;
  ack.mutable_ack()->add_sequences(event.message().sequence());
  ASSERT_TRUE(inbox->Write(ack));
  inbox->WritesDone();
  EXPECT_FALSE(inbox->Read(&event));
  EXPECT_TRUE(inbox->Finish().ok());

  Exchange(alice, bob, "direct");
}

TEST_F(ServiceTest, AgentsTalkThroughTheRelayWhereThereIsNoDirectPath) {
  Agent alice(StartGateway("one", false), "alice.agent");
  Agent bob(StartGateway("two", true), "bob.agent");
  for (Agent* agent : {&alice, &bob}) {
    ASSERT_TRUE(agent->Authenticate().ok());
    const absl::Status registered = agent->Register();
    ASSERT_TRUE(registered.ok()) << registered;
  }
  // The reservation takes its moment; until it is held, the gateway cannot be reached.
  const absl::Time deadline = absl::Now() + kPatience;
  absl::Status sent = alice.Send("bob.agent", "m1");
  while (!sent.ok() && absl::Now() < deadline) sent = alice.Send("bob.agent", "m1");
  ASSERT_TRUE(sent.ok()) << sent;
  grpc::ClientContext context;
  const auto inbox = bob.OpenInbox(&context);
  v1::InboxResponse event;
  ASSERT_TRUE(inbox->Read(&event));
  ASSERT_TRUE(inbox->Read(&event));
  v1::InboxRequest ack;
  ack.mutable_ack()->add_sequences(event.message().sequence());
  ASSERT_TRUE(inbox->Write(ack));
  inbox->WritesDone();
  EXPECT_FALSE(inbox->Read(&event));

  Exchange(alice, bob, "relayed");
}

// Whatever is larger than a call may be is refused from its length, by which it says how long it is; what is smaller,
// but larger than a message may be, by the gateway.
TEST_F(ServiceTest, SixtyFourMebibytesAreRefusedAtTheStatedLimits) {
  const std::string gateway = StartGateway("one", false);
  Agent alice(gateway, "alice.agent");
  Agent bob(gateway, "bob.agent");
  for (Agent* agent : {&alice, &bob}) {
    ASSERT_TRUE(agent->Authenticate().ok());
    const absl::Status registered = agent->Register();
    ASSERT_TRUE(registered.ok()) << registered;
  }
  const std::string large(64 << 20, 'x');
  for (const absl::Status& refused : {alice.SendJson(large), alice.SendJson("{}", large)}) {
    EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
    EXPECT_NE(refused.message().find(absl::StrCat(2 << 20)), absl::string_view::npos) << refused;
  }
  EXPECT_EQ(ReasonOf(alice.SendJson(std::string(record::kMaxMessageSize + 1, 'x'))), reason::kTooLarge);
  EXPECT_EQ(ReasonOf(alice.SendJson("{}", std::string(record::kMaxAttachmentSize + 1, 'x'))), reason::kTooLarge);

  grpc::ClientContext context;
  v1::OpenChannelRequest frame;
  frame.set_data(large);
  const auto channel = alice.OpenChannel(&context, frame);
  v1::OpenChannelResponse answer;
  EXPECT_FALSE(channel->Read(&answer));
  EXPECT_EQ(channel->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);

  // Neither of them is any the worse for it.
  const absl::Status sent = alice.Send("bob.agent", "m1");
  EXPECT_TRUE(sent.ok()) << sent;
}

TEST_F(ServiceTest, SaysWhatIsWrongWithItsOptions) {
  Options options;
  options.host = HostAt("no-resolver");
  EXPECT_TRUE(absl::IsInvalidArgument(Start(options).status()));
  options.host = HostAt("bad-relay");
  options.resolver = "127.0.0.1:1";
  options.relays = {"/ip4/127.0.0.1/tcp/4001"};
  const auto bad_relay = Start(options);
  EXPECT_EQ(ReasonOf(bad_relay.status()), reason::kBadAddress) << bad_relay.status();
  options.relays = {};
  options.host = HostAt("bad-tap");
  options.tap = "/no/such/folder/tap";
  EXPECT_EQ(ReasonOf(Start(options).status()), reason::kStorage);
}

}  // namespace
}  // namespace dotagent::gateway_service
