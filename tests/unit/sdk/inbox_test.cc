#include "sdk/cpp/inbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "common/base/status.h"
#include "tests/unit/sdk/fake_gateway.h"
#include "tests/unit/sdk/samples.h"

namespace dotagent::sdk {
namespace {

namespace v1 = ::dotagent::gateway::v1;
using ::testing::ElementsAre;

class InboxTest : public testing::Test {
 protected:
  InboxTest() {
    gateway_.AddRecord(SignedRecord(alice_, "alice.agent"));
    agent_ = gateway_.Connect("bob.agent", bob_);
  }

  static v1::InboxResponse MessageEvent(uint64_t sequence, const std::string& json, const crypto::PublicKey& key,
                                        const std::string& attachment = "") {
    v1::InboxResponse event;
    event.mutable_message()->set_sequence(sequence);
    event.mutable_message()->set_message_json(json);
    event.mutable_message()->set_attachment(attachment);
    event.mutable_message()->set_sender_key(std::string(key.bytes()));
    return event;
  }
  std::unique_ptr<Inbox> Open() {
    auto inbox = agent_->OpenInbox({.accept_channels = true});
    EXPECT_TRUE(inbox.ok()) << inbox.status();
    return *std::move(inbox);
  }
  // The next item, which must be a rejection.
  static RejectedMessage NextRejected(Inbox& inbox) {
    const auto item = inbox.Next(kPatience);
    EXPECT_TRUE(item.ok()) << item.status();
    if (!item.ok() || !std::holds_alternative<RejectedMessage>(*item)) {
      ADD_FAILURE() << "not rejected";
      return {};
    }
    return std::get<RejectedMessage>(*item);
  }

  const crypto::SigningKey alice_ = KeyFromSeed(1);
  const crypto::SigningKey bob_ = KeyFromSeed(2);
  const crypto::SigningKey mallory_ = KeyFromSeed(3);
  FakeGateway gateway_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(InboxTest, MessagesAndOffersArriveInOrderAndAcksGoBack) {
  const std::string attachment = "some bytes";
  v1::InboxResponse offer;
  offer.mutable_offer()->set_channel_id("7");
  offer.mutable_offer()->set_caller("alice.agent");
  offer.mutable_offer()->set_caller_key(std::string(alice_.public_key().bytes()));
  gateway_.SetInbox(
      {MessageEvent(4, SignedMessage(alice_, "alice.agent", "m1"), alice_.public_key()), offer,
       MessageEvent(9, SignedMessage(alice_, "alice.agent", "m2", record::AttachmentContent("text/plain", attachment)),
                    alice_.public_key(), attachment)});
  const auto inbox = Open();
  EXPECT_EQ(inbox->pending(), 3U);

  const auto first = inbox->Next(kPatience);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(std::get<ReceivedMessage>(*first).sequence, 4U);
  EXPECT_EQ(std::get<ReceivedMessage>(*first).message.content(), record::Json({{"text", "hello"}}));

  const auto second = inbox->Next(kPatience);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(std::get<ChannelOffer>(*second).channel_id, "7");
  EXPECT_EQ(std::get<ChannelOffer>(*second).caller, "alice.agent");
  EXPECT_EQ(std::get<ChannelOffer>(*second).caller_key, alice_.public_key());

  const auto third = inbox->Next(kPatience);
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ(std::get<ReceivedMessage>(*third).attachment, attachment);

  ASSERT_TRUE(inbox->Ack(4).ok());
  ASSERT_TRUE(inbox->Ack(9).ok());
  EXPECT_THAT(gateway_.AwaitAcks(2), ElementsAre(4, 9));
  EXPECT_EQ(inbox->Next(absl::Milliseconds(1)).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(InboxTest, WhatDoesNotVerifyIsRejectedAndTheRestGoesOn) {
  const std::string good = SignedMessage(alice_, "alice.agent", "good");
  std::string changed = good;
  changed.replace(changed.find("hello"), 5, "jello");
  v1::InboxResponse no_key = MessageEvent(5, good, alice_.public_key());
  no_key.mutable_message()->set_sender_key("short");
  gateway_.SetInbox({MessageEvent(1, changed, alice_.public_key()),
                     // Signed well, by a key that alice.agent does not have.
                     MessageEvent(2, SignedMessage(mallory_, "alice.agent", "forged"), mallory_.public_key()),
                     MessageEvent(3, SignedMessage(alice_, "nobody.agent", "unknown"), alice_.public_key()),
                     MessageEvent(4, good, alice_.public_key(), "bytes that nobody announced"), no_key,
                     MessageEvent(6, good, alice_.public_key())});
  const auto inbox = Open();
  const std::vector<absl::string_view> reasons = {reason::kBadSignature, reason::kKeyMismatch, reason::kNameNotFound,
                                                  reason::kBadMessage, reason::kBadKey};
  for (size_t i = 0; i < reasons.size(); ++i) {
    const RejectedMessage rejected = NextRejected(*inbox);
    EXPECT_EQ(rejected.sequence, i + 1);
    EXPECT_EQ(ReasonOf(rejected.why), reasons[i]) << rejected.why;
    EXPECT_FALSE(rejected.undecided());
  }
  const auto last = inbox->Next(kPatience);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_TRUE(std::holds_alternative<ReceivedMessage>(*last));
}

TEST_F(InboxTest, AMessageWhoseSenderCannotBeLookedUpNowIsNotCondemned) {
  gateway_.SetInbox({MessageEvent(1, SignedMessage(alice_, "alice.agent", "m"), alice_.public_key())});
  gateway_.Refuse("Resolve", ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable, "no resolver"));
  {
    const auto inbox = Open();
    EXPECT_TRUE(NextRejected(*inbox).undecided());
  }
  gateway_.Refuse("Resolve", absl::OkStatus());
  const auto inbox = Open();
  const auto item = inbox->Next(kPatience);
  ASSERT_TRUE(item.ok()) << item.status();
  EXPECT_TRUE(std::holds_alternative<ReceivedMessage>(*item));
}

TEST_F(InboxTest, TheEndOfTheStreamIsToldAfterWhatCame) {
  gateway_.SetInbox({MessageEvent(1, SignedMessage(alice_, "alice.agent", "m"), alice_.public_key())},
                    ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked, "revoked"));
  const auto inbox = Open();
  EXPECT_TRUE(inbox->Next(kPatience).ok());
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = inbox->Next(kPatience).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(ReasonOf(status), reason::kKeyRevoked);
  }

  gateway_.SetInbox({}, absl::OkStatus());
  EXPECT_EQ(ReasonOf(Open()->Next(kPatience).status()), reason::kUnreachable);
}

TEST_F(InboxTest, OpeningSaysWhyItWasRefused) {
  gateway_.Refuse("Inbox", ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyMismatch, "not yours"));
  EXPECT_EQ(ReasonOf(agent_->OpenInbox({}).status()), reason::kKeyMismatch);
}

TEST_F(InboxTest, ALapsedTokenIsRenewed) {
  gateway_.ForgetTokens();
  const auto inbox = agent_->OpenInbox({});
  EXPECT_TRUE(inbox.ok()) << inbox.status();
  EXPECT_EQ(gateway_.Count("Authenticate"), 2);
}

TEST_F(InboxTest, AGatewayThatDoesNotBeginProperlyIsLeft) {
  gateway_.SetInbox({MessageEvent(1, "{}", alice_.public_key())}, std::nullopt, /*ready=*/false);
  EXPECT_EQ(ReasonOf(agent_->OpenInbox({}).status()), reason::kProtocol);

  gateway_.SetInbox({}, std::nullopt, /*ready=*/false);
  const auto impatient = gateway_.Connect("bob.agent", bob_, absl::Milliseconds(500));
  EXPECT_EQ(impatient->OpenInbox({}).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(InboxTest, AnEventThatIsNotKnownIsAnErrorAndNotTheEnd) {
  gateway_.SetInbox(
      {v1::InboxResponse(), MessageEvent(1, SignedMessage(alice_, "alice.agent", "m"), alice_.public_key())});
  const auto inbox = Open();
  EXPECT_EQ(ReasonOf(inbox->Next(kPatience).status()), reason::kProtocol);
  EXPECT_TRUE(inbox->Next(kPatience).ok());
}

TEST_F(InboxTest, CancelEndsANextThatWaits) {
  const auto inbox = Open();
  absl::Status status;
  std::thread waiting([&] { status = inbox->Next(absl::InfiniteDuration()).status(); });
  inbox->Cancel();
  waiting.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

TEST_F(InboxTest, MoreThanItHoldsWaitsAtTheGateway) {
  std::vector<v1::InboxResponse> events;
  const std::string json = SignedMessage(alice_, "alice.agent", "m");
  for (uint64_t i = 1; i <= 200; ++i) events.push_back(MessageEvent(i, json, alice_.public_key()));
  gateway_.SetInbox(events);
  const auto inbox = Open();
  for (uint64_t i = 1; i <= 200; ++i) {
    const auto item = inbox->Next(kPatience);
    ASSERT_TRUE(item.ok()) << item.status();
    ASSERT_EQ(std::get<ReceivedMessage>(*item).sequence, i);
  }
  // Left with the queue full, it still closes.
  gateway_.SetInbox(events);
  EXPECT_TRUE(Open()->Next(kPatience).ok());
}

}  // namespace
}  // namespace dotagent::sdk
