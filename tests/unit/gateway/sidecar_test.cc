// Sidecar mode: what an agent without a key says and hears, and how its name is kept registered.
#include "services/gateway/sidecar.h"

#include <gtest/gtest.h>

#include "common/record/answer.h"
#include "tests/unit/gateway/fakes.h"

namespace dotagent::gateway_service {
namespace {

namespace v1 = ::dotagent::sidecar::v1;

using ListenCall = FakeCall<v1::ListenRequest, v1::ListenResponse>;

class SidecarTest : public testing::Test {
 protected:
  SidecarTest()
      : key_(std::make_shared<crypto::SigningKey>(crypto::SigningKey::Generate(world_.random))),
        sidecar_({.gateway = *one_.logic,
                  .name = *record::Name::Parse("sid.agent"),
                  .key = key_,
                  .addresses = [this] { return std::vector<std::string>{one_.address()}; },
                  .proof = [this] { return proof_; },
                  .clock = world_.clock,
                  .random = world_.random,
                  .metrics = one_.metrics}) {}

  void Settle() {
    bob_.Settle();
    Tick();
    ASSERT_TRUE(sidecar_.GetAgent().registered()) << sidecar_.GetAgent().error();
  }
  void Tick() {
    sidecar_.Tick();
    world_.tasks.Run();
  }

  absl::StatusOr<v1::SendResponse> Send(const v1::SendRequest& request) {
    absl::StatusOr<v1::SendResponse> result = absl::UnknownError("not answered");
    sidecar_.Send(request, [&](auto response) { result = std::move(response); });
    world_.tasks.Run();
    return result;
  }
  static v1::SendRequest ToBob(const std::string& content_json) {
    v1::SendRequest request;
    request.set_recipient("bob.agent");
    request.set_content_json(content_json);
    return request;
  }

  std::shared_ptr<ListenCall> Listen(bool requests) {
    auto call = std::make_shared<ListenCall>(world_.tasks);
    v1::ListenRequest open;
    open.mutable_open()->set_accept_requests(requests);
    call->Send(open);
    sidecar_.Listen(call);
    world_.tasks.Run();
    return call;
  }

  // Bob asks; what he is answered.
  std::shared_ptr<absl::StatusOr<gateway::v1::RequestResponse>> BobAsks(const std::string& id) {
    gateway::v1::RequestRequest request;
    request.set_message_json(record::Message::Sign({.id = id,
                                                    .type = record::MessageType::kRequest,
                                                    .sender = "bob.agent",
                                                    .recipient = "sid.agent",
                                                    .timestamp = world_.clock.Now(),
                                                    .content = {{"method", "ping"}}},
                                                   bob_.key)
                                 ->json());
    auto result = std::make_shared<absl::StatusOr<gateway::v1::RequestResponse>>(absl::UnknownError("not answered"));
    two_.logic->Request(bob_.token, request, absl::InfiniteFuture(), [result](auto response) { *result = response; });
    world_.tasks.Run();
    return result;
  }

  World world_;
  TestGateway one_{world_};
  TestGateway two_{world_};
  TestAgent bob_{world_, two_, "bob.agent"};
  std::shared_ptr<crypto::SigningKey> key_;
  absl::StatusOr<record::NameProof> proof_ = record::NameProof();
  Sidecar sidecar_;
};

TEST_F(SidecarTest, KeepsItsNameRegistered) {
  EXPECT_FALSE(sidecar_.GetAgent().registered());
  EXPECT_EQ(sidecar_.GetAgent().expires_at_ms(), 0);
  Settle();
  EXPECT_EQ(sidecar_.GetAgent().name(), "sid.agent");
  EXPECT_EQ(sidecar_.GetAgent().public_key(), key_->public_key().bytes());
  const int64_t first = sidecar_.GetAgent().expires_at_ms();
  EXPECT_EQ(absl::FromUnixMillis(first), world_.clock.Now() + absl::Seconds(record::kDefaultTtlSeconds));
  // Nothing is due for a while; then, before it runs out, it is renewed.
  world_.clock.Advance(absl::Hours(12));
  Tick();
  EXPECT_EQ(sidecar_.GetAgent().expires_at_ms(), first);
  world_.clock.Advance(absl::Hours(10));
  Tick();
  EXPECT_GT(sidecar_.GetAgent().expires_at_ms(), first);
  EXPECT_TRUE(sidecar_.GetAgent().registered());
}

TEST_F(SidecarTest, AFailedRegistrationIsTriedAgainAndTold) {
  proof_ = absl::FailedPreconditionError("no certificate yet");
  Tick();
  EXPECT_FALSE(sidecar_.GetAgent().registered());
  EXPECT_NE(sidecar_.GetAgent().error().find("no certificate yet"), std::string::npos);
  proof_ = record::NameProof();
  Tick();  // not before the pause is over
  EXPECT_FALSE(sidecar_.GetAgent().registered());
  world_.clock.Advance(absl::Seconds(1));
  Tick();
  EXPECT_TRUE(sidecar_.GetAgent().registered());
  EXPECT_EQ(sidecar_.GetAgent().error(), "");
}

TEST_F(SidecarTest, SignsWhatItsAgentSends) {
  Settle();
  auto inbox = bob_.OpenInbox();
  const auto sent = Send(ToBob(R"({"text": "hello"})"));
  ASSERT_TRUE(sent.ok()) << sent.status();
  v1::SendRequest again = ToBob("{}");
  again.set_id(sent->id());
  EXPECT_TRUE(Send(again)->duplicate());
  v1::SendRequest attached = ToBob("");
  attached.set_attachment("bytes");
  attached.set_type(v1::MESSAGE_TYPE_STREAM);
  ASSERT_TRUE(Send(attached).ok());
  ASSERT_EQ(inbox->received.size(), 3u);
  const auto& first = inbox->received[1].message();
  EXPECT_EQ(first.sender_key(), key_->public_key().bytes());
  const auto message = record::Message::Verify(first.message_json(), key_->public_key(), world_.clock.Now());
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->sender().text(), "sid.agent");
  EXPECT_EQ(message->type(), record::MessageType::kNotification);
  EXPECT_EQ(message->content(), record::Json({{"text", "hello"}}));
  EXPECT_EQ(inbox->received[2].message().attachment(), "bytes");
}

TEST_F(SidecarTest, RefusesWhatCanBeNoMessage) {
  Settle();
  for (const char* content : {"[1]", "{", R"({"a":1,"a":2})", "null"}) {
    EXPECT_EQ(ReasonOf(Send(ToBob(content)).status()), reason::kBadMessage) << content;
  }
  v1::SendRequest both = ToBob("{}");
  both.set_attachment("bytes");
  EXPECT_EQ(ReasonOf(Send(both).status()), reason::kBadMessage);
  EXPECT_EQ(ReasonOf(Send(ToBob(std::string(record::kMaxMessageSize + 1, ' '))).status()), reason::kTooLarge);
  v1::SendRequest nowhere = ToBob("{}");
  nowhere.set_recipient("not a name");
  EXPECT_EQ(ReasonOf(Send(nowhere).status()), reason::kBadName);
  v1::SendRequest unknown = ToBob("{}");
  unknown.set_type(static_cast<v1::MessageType>(77));
  EXPECT_EQ(ReasonOf(Send(unknown).status()), reason::kBadMessage);
}

TEST_F(SidecarTest, HandsOverMessagesAndForgetsThoseThatAreAcknowledged) {
  Settle();
  ASSERT_TRUE(bob_.Send(bob_.SignMessage("sid.agent", "m1", "attached"), "attached").ok());
  auto call = Listen(false);
  ASSERT_EQ(call->received.size(), 2u);
  EXPECT_EQ(call->received[0].ready().pending(), 1u);
  const v1::ReceivedMessage message = call->received[1].message();
  EXPECT_EQ(message.sender(), "bob.agent");
  EXPECT_EQ(message.id(), "m1");
  EXPECT_EQ(message.type(), v1::MESSAGE_TYPE_NOTIFICATION);
  EXPECT_EQ(message.attachment(), "attached");
  EXPECT_EQ(message.timestamp_ms(), absl::ToUnixMillis(world_.clock.Now()));
  EXPECT_NE(message.content_json().find("text/plain"), std::string::npos);
  v1::ListenRequest ack;
  ack.mutable_ack()->add_sequences(message.sequence());
  call->Send(ack);
  world_.tasks.Run();
  EXPECT_EQ(one_.inboxes->size(), 0u);
}

TEST_F(SidecarTest, SignsItsAgentsAnswers) {
  Settle();
  auto call = Listen(true);
  auto answered = BobAsks("q1");
  ASSERT_EQ(call->received.size(), 2u);
  const v1::ReceivedRequest request = call->received[1].request();
  EXPECT_EQ(request.sender(), "bob.agent");
  EXPECT_EQ(request.content_json(), R"({"method":"ping"})");
  v1::ListenRequest answer;
  answer.mutable_answer()->set_handle(request.handle());
  answer.mutable_answer()->set_content_json(R"({"pong":1})");
  call->Send(answer);
  world_.tasks.Run();
  ASSERT_TRUE(answered->ok()) << answered->status();
  const auto message = record::Message::Verify((*answered)->message_json(), key_->public_key(), world_.clock.Now());
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->type(), record::MessageType::kResponse);
  EXPECT_EQ(message->content(), record::Json({{"pong", 1}}));

  answered = BobAsks("q2");
  answer.Clear();
  answer.mutable_answer()->set_handle(call->received[2].request().handle());
  answer.mutable_answer()->set_error_code(static_cast<int>(absl::StatusCode::kNotFound));
  answer.mutable_answer()->set_error("no such thing");
  call->Send(answer);
  world_.tasks.Run();
  ASSERT_TRUE(answered->ok()) << answered->status();
  const auto error = record::Message::Verify((*answered)->message_json(), key_->public_key(), world_.clock.Now());
  ASSERT_TRUE(error.ok()) << error.status();
  EXPECT_EQ(record::StatusOfAnswer(*error), absl::NotFoundError("no such thing"));
}

TEST_F(SidecarTest, AnAgentIsToldWhichAnswersAreNone) {
  Settle();
  auto call = Listen(true);
  const auto answered = BobAsks("q1");
  const uint64_t handle = call->received[1].request().handle();
  const auto refused = [&](const v1::ListenRequest& answer) {
    call->Send(answer);
    world_.tasks.Run();
    return call->received.back().refused();
  };
  v1::ListenRequest answer;
  answer.mutable_answer()->set_handle(handle + 1);
  EXPECT_EQ(refused(answer).reason(), reason::kStale);
  answer.mutable_answer()->set_handle(handle);
  answer.mutable_answer()->set_content_json("[]");
  EXPECT_EQ(refused(answer).reason(), reason::kBadMessage);
  answer.mutable_answer()->set_error_code(99);
  answer.mutable_answer()->clear_content_json();
  EXPECT_EQ(refused(answer).reason(), reason::kBadMessage);
  EXPECT_FALSE(call->finished.has_value());
  // It may still answer well; then the handle is used up.
  answer.mutable_answer()->clear_error_code();
  call->Send(answer);
  world_.tasks.Run();
  EXPECT_TRUE(answered->ok()) << answered->status();
  EXPECT_EQ(refused(answer).reason(), reason::kStale);
}

TEST_F(SidecarTest, AsksAndPublishes) {
  Settle();
  v1::RequestRequest request;
  request.set_recipient("bob.agent");
  absl::StatusOr<v1::RequestResponse> answered = absl::UnknownError("not answered");
  sidecar_.Request(request, absl::InfiniteFuture(), [&](auto response) { answered = std::move(response); });
  world_.tasks.Run();
  EXPECT_EQ(ReasonOf(answered.status()), reason::kRecipientOffline);

  auto subscribed = bob_.Subscribe("sid.agent", "news.>");
  v1::PublishRequest publication;
  publication.set_topic("news.eu");
  publication.set_content_json(R"({"text":"extra"})");
  absl::StatusOr<v1::PublishResponse> published = absl::UnknownError("not answered");
  sidecar_.Publish(publication, [&](auto response) { published = std::move(response); });
  world_.tasks.Run();
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(published->gateways(), 1u);
  ASSERT_EQ(subscribed->events.size(), 2u);
  EXPECT_EQ(subscribed->events[1].publication().sender_key(), key_->public_key().bytes());

  auto own = std::make_shared<SubscribeCall>(world_.tasks);
  v1::SubscribeRequest subscription;
  subscription.set_publisher("bob.agent");
  subscription.set_pattern("prices");
  sidecar_.Subscribe(subscription, own);
  world_.tasks.Run();
  ASSERT_TRUE(bob_.Publish("prices", "p1").ok());
  ASSERT_EQ(own->events.size(), 2u);
  EXPECT_EQ(own->events[1].publication().sender_key(), bob_.key.public_key().bytes());
}

TEST_F(SidecarTest, ARevokedKeyIsNoLongerServed) {
  Settle();
  auto call = Listen(false);
  world_.revoked.insert(key_->public_key());
  one_.logic->OnRevoked(key_->public_key());
  world_.tasks.Run();
  EXPECT_EQ(ReasonOf(*call->finished), reason::kKeyRevoked);
  EXPECT_FALSE(Send(ToBob("{}")).ok());
  EXPECT_EQ(ReasonOf(*Listen(false)->finished), reason::kNotAuthenticated);
}

TEST_F(SidecarTest, ItsTokenIsNobodyElses) {
  Settle();
  EXPECT_FALSE(one_.logic->authenticator().Caller("").ok());
  EXPECT_FALSE(two_.logic->authenticator().Caller(sidecar_.token()).ok());
}

}  // namespace
}  // namespace dotagent::gateway_service
