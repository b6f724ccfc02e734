// Streams of messages over a channel, through a gateway that is played here.
#include "sdk/cpp/message_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "tests/unit/sdk/fake_gateway.h"
#include "tests/unit/sdk/samples.h"

namespace dotagent::sdk {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class MessageStreamTest : public testing::Test {
 protected:
  MessageStreamTest() {
    gateway_.AddRecord(SignedRecord(alice_key_, "alice.agent"));
    gateway_.AddRecord(SignedRecord(bob_key_, "bob.agent"));
    alice_ = gateway_.Connect("alice.agent", alice_key_);
    bob_ = gateway_.Connect("bob.agent", bob_key_);
  }

  // Alice opens a stream; Bob takes it.
  void Open() {
    auto calling = std::async(std::launch::async, [&] { return alice_->OpenStream("bob.agent"); });
    const auto offer = gateway_.AwaitOffer();
    ASSERT_TRUE(offer.has_value());
    auto taken = bob_->AcceptStream(*offer);
    auto called = calling.get();
    ASSERT_TRUE(called.ok()) << called.status();
    ASSERT_TRUE(taken.ok()) << taken.status();
    to_bob_ = *std::move(called);
    to_alice_ = *std::move(taken);
  }
  // Alice writes what she likes where Bob expects messages.
  void OpenForLies() {
    auto calling = std::async(std::launch::async, [&] {
      return Channel::Call(SharedGateway(), "alice.agent", "bob.agent", bob_key_.public_key(), {}, kMessagesProtocol);
    });
    const auto offer = gateway_.AwaitOffer();
    ASSERT_TRUE(offer.has_value());
    auto taken = bob_->AcceptStream(*offer);
    auto called = calling.get();
    ASSERT_TRUE(called.ok()) << called.status();
    ASSERT_TRUE(taken.ok()) << taken.status();
    liar_ = *std::move(called);
    to_alice_ = *std::move(taken);
  }
  [[nodiscard]] std::shared_ptr<GatewayClient> SharedGateway() {
    return {std::shared_ptr<void>(), &alice_->gateway()};  // alice lives as long as the test
  }
  [[nodiscard]] record::MessageFields Fields() const {
    return {.id = "1",
            .type = record::MessageType::kStream,
            .sender = "alice.agent",
            .recipient = "bob.agent",
            .timestamp = absl::Now(),
            .content = {{"text", "a lie"}}};
  }
  // What Bob makes of it.
  [[nodiscard]] absl::Status Hear(absl::string_view bytes) {
    OpenForLies();
    if (HasFatalFailure()) return absl::OkStatus();
    EXPECT_TRUE(liar_->Write(bytes).ok());
    EXPECT_TRUE(liar_->CloseWrite().ok());
    const absl::Status heard = to_alice_->Next().status();
    EXPECT_FALSE(to_alice_->Next().ok()) << "it goes on after a lie";
    return heard;
  }
  [[nodiscard]] absl::Status Hear(const record::MessageFields& fields, const crypto::SigningKey& key) {
    return Hear(absl::StrCat(WithLength(record::Message::Sign(fields, key)->json()), WithLength("")));
  }

  const crypto::SigningKey alice_key_ = KeyFromSeed(1);
  const crypto::SigningKey bob_key_ = KeyFromSeed(2);
  FakeGateway gateway_;
  std::unique_ptr<Agent> alice_;
  std::unique_ptr<Agent> bob_;
  std::unique_ptr<MessageStream> to_bob_;
  std::unique_ptr<MessageStream> to_alice_;
  std::unique_ptr<Channel> liar_;
};

TEST_F(MessageStreamTest, MessagesComeInOrderBothWaysAndTheGatewaySeesCiphertext) {
  ASSERT_NO_FATAL_FAILURE(Open());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(to_bob_->Send({{"number", i}}), absl::OkStatus());
  ASSERT_EQ(to_bob_->CloseWrite(), absl::OkStatus());
  ASSERT_EQ(to_alice_->Send({{"text", "a secret"}}), absl::OkStatus());
  ASSERT_EQ(to_alice_->CloseWrite(), absl::OkStatus());
  for (int i = 0; i < 100; ++i) {
    const auto next = to_alice_->Next();
    ASSERT_TRUE(next.ok()) << next.status();
    ASSERT_TRUE(next->has_value());
    EXPECT_EQ((*next)->message.content()["number"], i);
    EXPECT_EQ((*next)->message.type(), record::MessageType::kStream);
    EXPECT_EQ((*next)->message.sender().text(), "alice.agent");
  }
  EXPECT_FALSE(to_alice_->Next()->has_value());
  EXPECT_FALSE(to_alice_->Next()->has_value()) << "the end stays the end";
  EXPECT_EQ((*to_bob_->Next())->message.content()["text"], "a secret");
  EXPECT_FALSE(to_bob_->Next()->has_value());
  EXPECT_EQ(to_bob_->Finish(kPatience), absl::OkStatus());
  EXPECT_EQ(to_alice_->Finish(kPatience), absl::OkStatus());
  EXPECT_THAT(gateway_.carried(), Not(HasSubstr("secret")));
}

TEST_F(MessageStreamTest, CarriesAttachments) {
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::string bytes = SeededRandom(3).Bytes(record::kMaxAttachmentSize);
  auto sending = std::async(std::launch::async, [&] { return to_bob_->SendAttachment(bytes, "image/png"); });
  const auto next = to_alice_->Next();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE((*next)->attachment == bytes);
  EXPECT_EQ((*next)->message.content()["mediaType"], "image/png");
  EXPECT_EQ(sending.get(), absl::OkStatus());
  EXPECT_EQ(ReasonOf(to_bob_->SendAttachment(bytes + "x", "image/png")), reason::kTooLarge);
}

// Alice can be ahead of Bob by what the channel holds, however much she has to say.
TEST_F(MessageStreamTest, WhoSendsWaitsForWhoReads) {
  ASSERT_NO_FATAL_FAILURE(Open());
  constexpr int kMessages = 128;
  const std::string bytes(256 * 1024, 'x');
  absl::Notification all_sent;
  std::thread alice([&] {
    for (int i = 0; i < kMessages; ++i) EXPECT_EQ(to_bob_->SendAttachment(bytes, "text/plain"), absl::OkStatus());
    all_sent.Notify();
  });
  EXPECT_FALSE(all_sent.WaitForNotificationWithTimeout(absl::Seconds(1))) << "32 MiB were taken that nobody reads";
  for (int i = 0; i < kMessages; ++i) {
    const auto next = to_alice_->Next();
    ASSERT_TRUE(next.ok() && next->has_value()) << next.status();
  }
  EXPECT_TRUE(all_sent.WaitForNotificationWithTimeout(kPatience));
  alice.join();
}

TEST_F(MessageStreamTest, AnotherKeysMessageEndsIt) {
  EXPECT_EQ(ReasonOf(Hear(Fields(), bob_key_)), reason::kBadSignature);
}

TEST_F(MessageStreamTest, AnotherAgentsMessageEndsIt) {
  record::MessageFields fields = Fields();
  fields.sender = "carol.agent";
  const absl::Status heard = Hear(fields, alice_key_);
  EXPECT_EQ(ReasonOf(heard), reason::kBadMessage);
  EXPECT_THAT(std::string(heard.message()), HasSubstr("carol.agent"));
}

TEST_F(MessageStreamTest, AMessageForAnotherEndsIt) {
  record::MessageFields fields = Fields();
  fields.recipient = "carol.agent";
  EXPECT_EQ(ReasonOf(Hear(fields, alice_key_)), reason::kBadMessage);
}

TEST_F(MessageStreamTest, AMessageOfAnotherTypeEndsIt) {
  record::MessageFields fields = Fields();
  fields.type = record::MessageType::kNotification;
  EXPECT_EQ(ReasonOf(Hear(fields, alice_key_)), reason::kBadMessage);
}

TEST_F(MessageStreamTest, ALengthThatNoMessageHasEndsIt) {
  EXPECT_EQ(ReasonOf(Hear(WithLength(std::string(record::kMaxMessageSize + 1, '{')))), reason::kTooLarge);
}

TEST_F(MessageStreamTest, AnEndInTheMiddleIsToldFromAnEnd) {
  const std::string whole = WithLength(record::Message::Sign(Fields(), alice_key_)->json());
  EXPECT_EQ(Hear(whole.substr(0, whole.size() / 2)).code(), absl::StatusCode::kDataLoss);
}

TEST_F(MessageStreamTest, AnEndBeforeTheAttachmentIsToldFromAnEnd) {
  EXPECT_EQ(Hear(WithLength(record::Message::Sign(Fields(), alice_key_)->json())).code(), absl::StatusCode::kDataLoss);
}

TEST_F(MessageStreamTest, AnAttachmentThatWasNotSignedEndsIt) {
  EXPECT_EQ(ReasonOf(Hear(
                absl::StrCat(WithLength(record::Message::Sign(Fields(), alice_key_)->json()), WithLength("surprise")))),
            reason::kBadMessage);
}

TEST_F(MessageStreamTest, AChannelOfBytesIsNone) {
  auto calling = std::async(std::launch::async, [&] { return alice_->OpenStream("bob.agent"); });
  const auto offer = gateway_.AwaitOffer();
  ASSERT_TRUE(offer.has_value());
  auto taking = std::async(std::launch::async, [&] { return bob_->AcceptChannel(*offer).status(); });
  const auto stream = calling.get();
  // Whichever call notices it first.
  const absl::Status heard = stream.ok() ? (*stream)->Next().status() : stream.status();
  EXPECT_FALSE(heard.ok());
  EXPECT_FALSE(taking.get().ok());
}

}  // namespace
}  // namespace dotagent::sdk
