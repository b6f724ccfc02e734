// Sealed messages: what an agent sends so that its gateway cannot read it, and what comes out at the other end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/key_store_error.h"
#include "common/identity/agent_id.h"
#include "common/identity/rotation.h"
#include "common/record/seal.h"
#include "sdk/cpp/inbox.h"
#include "tests/unit/sdk/fake_gateway.h"
#include "tests/unit/sdk/samples.h"

namespace dotagent::sdk {
namespace {

namespace v1 = ::dotagent::gateway::v1;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A key that signs and does nothing else, as in a PKCS#11 token.
class TokenKey : public crypto::Signer {
 public:
  explicit TokenKey(crypto::SigningKey key) : key_(std::move(key)) {}
  [[nodiscard]] const crypto::PublicKey& public_key() const override { return key_.public_key(); }
  [[nodiscard]] absl::StatusOr<std::string> Sign(absl::string_view message) const override {
    return key_.Sign(message);
  }

 private:
  const crypto::SigningKey key_;
};

std::string RecordThatListsSealed(const crypto::Signer& key, const std::string& name) {
  return record::Record::Sign({.name = name,
                               .addresses = {},
                               .protocols = {"/dotagent/message/1.0.0", record::kSealedProtocol},
                               .timestamp = absl::Now()},
                              key)
      ->json();
}

std::shared_ptr<const crypto::SigningKey> Shared(uint64_t seed) {
  return std::make_shared<const crypto::SigningKey>(KeyFromSeed(seed));
}

class SealedTest : public testing::Test {
 protected:
  SealedTest() {
    gateway_.AddRecord(SignedRecord(alice_, "alice.agent"));
    gateway_.AddRecord(RecordThatListsSealed(*bob_, "bob.agent"));
  }

  std::unique_ptr<Agent> Connect(const std::string& name, std::shared_ptr<const crypto::Signer> key,
                                 AgentOptions options = {}) {
    options.gateway = {.gateway = gateway_.address(), .plaintext = true, .timeout = kPatience};
    options.name = name;
    auto agent = Agent::Connect(options, std::move(key));
    EXPECT_TRUE(agent.ok()) << agent.status();
    return *std::move(agent);
  }
  record::SealedMessage Sealed(const std::string& id, const crypto::PublicKey& recipient,
                               const record::Json& content = {{"text", "hello"}}, const std::string& attachment = "") {
    return *record::SignSealed(
        {.id = id, .sender = "alice.agent", .recipient = "bob.agent", .timestamp = absl::Now(), .content = content},
        attachment, recipient, alice_, random_);
  }
  [[nodiscard]] v1::InboxResponse Event(uint64_t sequence, const record::Message& message,
                                        const std::string& attachment) const {
    v1::InboxResponse event;
    event.mutable_message()->set_sequence(sequence);
    event.mutable_message()->set_message_json(message.json());
    event.mutable_message()->set_attachment(attachment);
    event.mutable_message()->set_sender_key(std::string(alice_.public_key().bytes()));
    event.mutable_message()->set_deliveries(1);
    return event;
  }
  [[nodiscard]] v1::InboxResponse Event(uint64_t sequence, const record::SealedMessage& sealed) const {
    return Event(sequence, sealed.message, sealed.attachment);
  }
  // `attachment`, said to be sealed, in a message of Alice's.
  [[nodiscard]] record::Message Around(const std::string& id, const std::string& attachment) const {
    return *record::Message::Sign({.id = id,
                                   .sender = "alice.agent",
                                   .recipient = "bob.agent",
                                   .timestamp = absl::Now(),
                                   .content = record::AttachmentContent(record::kSealedMediaType, attachment)},
                                  alice_);
  }
  // What `agent`'s inbox makes of one event.
  static InboxItem Next(Inbox& inbox) {
    auto item = inbox.Next(kPatience);
    EXPECT_TRUE(item.ok()) << item.status();
    return *std::move(item);
  }
  RejectedMessage Rejected(Agent& agent, const record::SealedMessage& sealed) {
    gateway_.SetInbox({Event(1, sealed)});
    const auto inbox = agent.OpenInbox({});
    EXPECT_TRUE(inbox.ok()) << inbox.status();
    const InboxItem item = Next(**inbox);
    EXPECT_TRUE(std::holds_alternative<RejectedMessage>(item));
    return std::holds_alternative<RejectedMessage>(item) ? std::get<RejectedMessage>(item) : RejectedMessage{};
  }
  // Bob's chain: from `former_` to the key that he has.
  std::string Chain() {
    const auto next = KeyFromSeed(5);
    std::vector<std::string> chain = {*identity::MakeInception(*former_, bob_->public_key(), absl::Now())};
    const auto verified = identity::VerifyRotationChain(chain, absl::Now());
    chain.push_back(*identity::MakeRotation(*verified, *former_, *bob_, next.public_key(), absl::Now()));
    return identity::EncodeRotationChain(chain);
  }

  SystemRandom random_;
  const crypto::SigningKey alice_ = KeyFromSeed(1);
  const std::shared_ptr<const crypto::SigningKey> bob_ = Shared(2);
  const std::shared_ptr<const crypto::SigningKey> former_ = Shared(4);
  FakeGateway gateway_;
};

TEST_F(SealedTest, ARecordSaysWhetherItsAgentOpensSealedMessages) {
  const auto protocols = [&](Agent& agent, const RegisterOptions& options) {
    const auto registration = agent.Register(options);
    EXPECT_TRUE(registration.ok()) << registration.status();
    return registration->record.protocols();
  };
  const auto bob = Connect("bob.agent", bob_);
  EXPECT_THAT(protocols(*bob, {}),
              ElementsAre("/dotagent/message/1.0.0", "/dotagent/channel/1.0.0", record::kSealedProtocol));
  EXPECT_THAT(protocols(*bob, {.protocols = {record::kSealedProtocol}}), ElementsAre(record::kSealedProtocol));
  EXPECT_THAT(protocols(*bob, {.sealed = false}), Not(Contains(record::kSealedProtocol)));
  const auto with_token = Connect("bob.agent", std::make_shared<TokenKey>(KeyFromSeed(2)));
  EXPECT_THAT(protocols(*with_token, {}), Not(Contains(record::kSealedProtocol)));
}

TEST_F(SealedTest, ARefreshAddsNothingAndDropsWhatTheKeyCannotDo) {
  const auto refreshed = [&](Agent& agent, const std::string& json) {
    const auto registration = agent.Refresh(*record::Record::Verify(json, absl::Now()));
    EXPECT_TRUE(registration.ok()) << registration.status();
    return registration->record.protocols();
  };
  const std::string listing = RecordThatListsSealed(*bob_, "bob.agent");
  const auto bob = Connect("bob.agent", bob_);
  EXPECT_THAT(refreshed(*bob, listing), Contains(record::kSealedProtocol));
  EXPECT_THAT(refreshed(*bob, SignedRecord(*bob_, "bob.agent")), Not(Contains(record::kSealedProtocol)));
  const auto with_token = Connect("bob.agent", std::make_shared<TokenKey>(KeyFromSeed(2)));
  EXPECT_THAT(refreshed(*with_token, listing), ElementsAre("/dotagent/message/1.0.0"));
}

TEST_F(SealedTest, TheGatewayIsHandedCiphertextThatTheRecipientOpens) {
  const auto alice = Connect("alice.agent", Shared(1));
  const auto sent = alice->Send({.recipient = "Bob.agent",
                                 .attachment = "private bytes",
                                 .media_type = "text/private",
                                 .priority = Priority::kHigh,
                                 .seal = true});
  ASSERT_TRUE(sent.ok()) << sent.status();
  const v1::SendRequest handed = gateway_.last_send();
  EXPECT_THAT(handed.SerializeAsString(), Not(HasSubstr("private")));
  EXPECT_EQ(handed.priority(), v1::PRIORITY_HIGH);
  const auto message = record::Message::Verify(handed.message_json(), alice_.public_key(), absl::Now());
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->id(), sent->message.id());
  const auto opened = record::OpenSealed(*message, handed.attachment(), alice_.public_key(), *bob_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->attachment, "private bytes");
  EXPECT_EQ(opened->content["mediaType"], "text/private");

  ASSERT_TRUE(alice->Send({.recipient = "bob.agent", .content = {{"text", "private"}}}).ok());
  EXPECT_THAT(gateway_.last_send().SerializeAsString(), HasSubstr("private")) << "nothing is sealed unasked";
}

TEST_F(SealedTest, NothingIsSentWhereItCouldNotBeSealedOrOpened) {
  gateway_.AddRecord(SignedRecord(KeyFromSeed(6), "old.agent"));
  const auto alice = Connect("alice.agent", Shared(1));
  const auto refused = [&](const OutgoingMessage& message) { return alice->Send(message).status(); };
  const absl::Status old = refused({.recipient = "old.agent", .content = {{"text", "x"}}, .seal = true});
  EXPECT_TRUE(absl::IsFailedPrecondition(old)) << old;
  EXPECT_EQ(ReasonOf(old), reason::kVersion);
  EXPECT_THAT(std::string(old.message()), HasSubstr("old.agent does not list /dotagent/sealed/1.0.0"));
  EXPECT_EQ(ReasonOf(refused({.recipient = "nobody.agent", .seal = true})), reason::kNameNotFound);
  EXPECT_EQ(ReasonOf(refused({.recipient = "bob.agent", .type = record::MessageType::kRequest, .seal = true})),
            reason::kBadMessage);
  EXPECT_EQ(ReasonOf(refused(
                {.recipient = "bob.agent", .attachment = std::string(record::kMaxAttachmentSize, 'x'), .seal = true})),
            reason::kTooLarge);
  EXPECT_EQ(ReasonOf(alice->Request({.recipient = "bob.agent", .seal = true}, kPatience).status()),
            reason::kBadMessage);
  EXPECT_EQ(gateway_.Count("Send"), 0);
  EXPECT_EQ(gateway_.Count("Request"), 0);
}

TEST_F(SealedTest, TheInboxOpensThem) {
  const record::Json described = record::AttachmentContent("text/plain", "some bytes");
  gateway_.SetInbox(
      {Event(1, Sealed("m1", bob_->public_key())), Event(2, Sealed("m2", bob_->public_key(), described, "some bytes")),
       Event(3, *record::Message::Verify(SignedMessage(alice_, "alice.agent", "m3"), alice_.public_key(), absl::Now()),
             "")});
  const auto bob = Connect("bob.agent", bob_);
  const auto inbox = bob->OpenInbox({});
  ASSERT_TRUE(inbox.ok()) << inbox.status();
  const auto first = std::get<ReceivedMessage>(Next(**inbox));
  EXPECT_TRUE(first.sealed());
  EXPECT_EQ(first.content(), record::Json({{"text", "hello"}}));
  EXPECT_EQ(first.attachment, "");
  EXPECT_EQ(first.message.id(), "m1");
  EXPECT_EQ(first.deliveries, 1U);
  const auto second = std::get<ReceivedMessage>(Next(**inbox));
  EXPECT_EQ(second.content(), described);
  EXPECT_EQ(second.attachment, "some bytes");
  const auto third = std::get<ReceivedMessage>(Next(**inbox));
  EXPECT_FALSE(third.sealed());
  EXPECT_EQ(third.content(), record::Json({{"text", "hello"}}));
}

TEST_F(SealedTest, WhatDoesNotOpenIsToldOneByOneAndCanBeAcknowledged) {
  const record::SealedMessage good = Sealed("good", bob_->public_key());
  std::string altered = good.attachment;
  altered.back() = static_cast<char>(altered.back() ^ 1);
  const std::string cut = good.attachment.substr(0, 40);
  gateway_.SetInbox({Event(1, Around("good", altered), altered),
                     Event(2, Around("another", good.attachment), good.attachment), Event(3, Around("cut", cut), cut),
                     Event(4, Around("text", "text"), "text"), Event(5, Around("nothing", ""), ""), Event(6, good)});
  const auto bob = Connect("bob.agent", bob_);
  const auto inbox = bob->OpenInbox({});
  ASSERT_TRUE(inbox.ok()) << inbox.status();
  for (uint64_t sequence = 1; sequence <= 5; ++sequence) {
    const auto rejected = std::get<RejectedMessage>(Next(**inbox));
    EXPECT_EQ(rejected.sequence, sequence);
    EXPECT_EQ(ReasonOf(rejected.why), reason::kBadMessage) << rejected.why;
    EXPECT_FALSE(rejected.undecided());
    ASSERT_TRUE(rejected.message) << "who sent it is known";
    EXPECT_EQ(rejected.message->sender().text(), "alice.agent");
    ASSERT_TRUE((*inbox)->Ack(rejected.sequence).ok());
  }
  EXPECT_EQ(std::get<ReceivedMessage>(Next(**inbox)).content(), record::Json({{"text", "hello"}}));
  EXPECT_THAT(gateway_.AwaitAcks(5), ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(SealedTest, AFormerKeyOpensWhatWasSealedToIt) {
  const record::SealedMessage sealed = Sealed("m1", former_->public_key());
  gateway_.SetInbox({Event(1, sealed), Event(2, Sealed("m2", bob_->public_key()))});
  const auto bob = Connect("bob.agent", bob_, {.former_keys = {former_}});
  const auto inbox = bob->OpenInbox({});
  ASSERT_TRUE(inbox.ok()) << inbox.status();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(std::get<ReceivedMessage>(Next(**inbox)).content(), record::Json({{"text", "hello"}}));
  }
}

TEST_F(SealedTest, WithoutTheFormerKeyTheMessageIsLeftForIt) {
  const record::SealedMessage sealed = Sealed("m1", former_->public_key());
  const auto expect_left = [&](Agent& agent) {
    const RejectedMessage rejected = Rejected(agent, sealed);
    EXPECT_TRUE(absl::IsFailedPrecondition(rejected.why)) << rejected.why;
    EXPECT_EQ(ReasonOf(rejected.why), reason::kKeyMismatch);
    EXPECT_TRUE(rejected.needs_former_key);
    EXPECT_TRUE(rejected.undecided());
  };
  const auto with_chain =
      Connect("bob.agent", bob_, {.proof = [&] { return record::NameProof{.rotation_chain = Chain()}; }});
  expect_left(*with_chain);
  gateway_.SetOwner(std::string(identity::AgentId::FromFirstKey(former_->public_key()).bytes()), Chain());
  const auto by_the_dht = Connect("bob.agent", bob_);
  expect_left(*by_the_dht);
}

TEST_F(SealedTest, WhereTheKeyCannotBeLookedUpNothingIsDecided) {
  const record::SealedMessage sealed = Sealed("m1", former_->public_key());
  const auto expect_undecided = [&](Agent& agent) {
    const RejectedMessage rejected = Rejected(agent, sealed);
    EXPECT_FALSE(rejected.needs_former_key);
    EXPECT_TRUE(rejected.undecided()) << rejected.why;
  };
  const auto bob = Connect("bob.agent", bob_);
  // Bob has rotated, says the DHT, and does not give his chain.
  const std::string first(identity::AgentId::FromFirstKey(former_->public_key()).bytes());
  gateway_.SetOwner(first, "");
  expect_undecided(*bob);
  gateway_.SetOwner(first, Chain());
  gateway_.Refuse("GetRotation", ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable, "no resolver"));
  expect_undecided(*bob);
  const auto without_file =
      Connect("bob.agent", bob_,
              {.proof = []() -> absl::StatusOr<record::NameProof> { return absl::NotFoundError("no file"); }});
  expect_undecided(*without_file);
}

TEST_F(SealedTest, WhatIsSealedToAStrangersKeyIsCondemned) {
  const auto bob = Connect("bob.agent", bob_);
  const record::SealedMessage sealed = Sealed("m1", KeyFromSeed(7).public_key());
  const auto expect_condemned = [&] {
    const RejectedMessage rejected = Rejected(*bob, sealed);
    EXPECT_TRUE(absl::IsInvalidArgument(rejected.why)) << rejected.why;
    EXPECT_EQ(ReasonOf(rejected.why), reason::kKeyMismatch);
    EXPECT_FALSE(rejected.undecided());
  };
  expect_condemned();
  // Nor does a chain make it his: one that does not have the key, and one that is another agent's.
  gateway_.SetOwner(std::string(identity::AgentId::FromFirstKey(former_->public_key()).bytes()), Chain());
  expect_condemned();
  const auto stranger = KeyFromSeed(7);
  const std::vector<std::string> others = {
      *identity::MakeInception(stranger, KeyFromSeed(8).public_key(), absl::Now())};
  gateway_.SetOwner(std::string(identity::AgentId::FromFirstKey(stranger.public_key()).bytes()),
                    identity::EncodeRotationChain(others));
  expect_condemned();
}

TEST_F(SealedTest, AKeyThatStaysInItsTokenSaysSo) {
  const auto bob = Connect("bob.agent", std::make_shared<TokenKey>(KeyFromSeed(2)));
  const RejectedMessage rejected = Rejected(*bob, Sealed("m1", bob_->public_key()));
  EXPECT_TRUE(absl::IsUnimplemented(rejected.why)) << rejected.why;
  EXPECT_EQ(ReasonOf(rejected.why), reason::kKeyStore);
  // Where the key was in a file before, the file still opens it.
  const auto with_file = Connect("bob.agent", std::make_shared<TokenKey>(KeyFromSeed(2)), {.former_keys = {bob_}});
  gateway_.SetInbox({Event(1, Sealed("m2", bob_->public_key()))});
  const auto inbox = with_file->OpenInbox({});
  ASSERT_TRUE(inbox.ok()) << inbox.status();
  EXPECT_TRUE(std::get<ReceivedMessage>(Next(**inbox)).sealed());
}

TEST_F(SealedTest, DeadLettersAreOpenedToo) {
  v1::ListDeadLettersResponse letters;
  const record::SealedMessage to_stranger = Sealed("m2", KeyFromSeed(7).public_key());
  *letters.add_letters()->mutable_message() = Event(1, Sealed("m1", bob_->public_key())).message();
  *letters.add_letters()->mutable_message() = Event(2, to_stranger).message();
  gateway_.SetDeadLetters(letters);
  const auto bob = Connect("bob.agent", bob_);
  const auto page = bob->ListDeadLetters();
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->letters.size(), 2U);
  EXPECT_TRUE(page->letters[0].unopened.ok()) << page->letters[0].unopened;
  EXPECT_EQ(page->letters[0].opened, record::Json({{"text", "hello"}}));
  EXPECT_EQ(page->letters[0].attachment, "");
  ASSERT_TRUE(page->letters[1].message.ok());
  EXPECT_EQ(ReasonOf(page->letters[1].unopened), reason::kKeyMismatch);
  EXPECT_EQ(page->letters[1].attachment, to_stranger.attachment);
}

}  // namespace
}  // namespace dotagent::sdk
