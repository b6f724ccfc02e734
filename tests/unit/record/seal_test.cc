#include "common/record/seal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/crypto/key_agreement.h"
#include "tests/unit/record/samples.h"

namespace dotagent::record {
namespace {

using testing::HasSubstr;
using testing::Not;

class SealTest : public testing::Test {
 protected:
  static MessageFields Fields() {
    MessageFields fields = SampleMessageFields();
    fields.type = MessageType::kNotification;
    return fields;
  }
  SealedMessage Seal(const MessageFields& fields, const std::string& attachment = "") {
    auto sealed = SignSealed(fields, attachment, bob_.public_key(), alice_, random_);
    EXPECT_TRUE(sealed.ok()) << sealed.status();
    return *std::move(sealed);
  }
  // As the recipient does: verified, with what came beside it, then opened.
  absl::StatusOr<OpenedContent> Open(const Message& sent, const std::string& attachment,
                                     const crypto::SigningKey& sender) {
    const auto message = Message::Verify(sent.json(), sender.public_key(), SampleTime());
    EXPECT_TRUE(message.ok()) << message.status();
    EXPECT_TRUE(message->CheckAttachment(attachment).ok());
    return OpenSealed(*message, attachment, sender.public_key(), bob_);
  }
  // `fields` with these bytes in the place of what they say, signed.
  static Message Around(MessageFields fields, const std::string& attachment, const crypto::Signer& key) {
    fields.content = AttachmentContent(kSealedMediaType, attachment);
    return *Message::Sign(fields, key);
  }
  // What HPKE seals, by the letter of docs/protocol.md, whatever is inside.
  std::string SealAnyway(const std::string& inside) {
    const std::string info = absl::StrCat("dotagent sealed message v1", std::string(1, '\0'),
                                          alice_.public_key().bytes(), bob_.public_key().bytes());
    const std::string aad = R"({"id":"0123456789abcdef","recipient":"bob.agent","sender":"alice.agent",)"
                            R"("timestamp":"2026-11-23T12:00:00.000Z","type":"NOTIFICATION"})";
    return absl::StrCat("\x01", bob_.public_key().bytes(),
                        *crypto::HpkeSeal(crypto::DhKey::Generate(random_), *crypto::X25519PublicOf(bob_.public_key()),
                                          info, aad, inside));
  }
  static void ExpectRefused(const absl::StatusOr<OpenedContent>& opened, const std::string& problem) {
    EXPECT_TRUE(absl::IsInvalidArgument(opened.status())) << opened.status();
    EXPECT_EQ(ReasonOf(opened.status()), reason::kBadMessage);
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr(problem));
  }

  SeededRandom random_{5};
  const crypto::SigningKey alice_ = SampleKey('a');
  const crypto::SigningKey bob_ = SampleKey('b');
  const crypto::SigningKey mallory_ = SampleKey('m');
};

TEST_F(SealTest, OnlyTheRecipientReadsIt) {
  const SealedMessage sealed = Seal(Fields());
  EXPECT_TRUE(IsSealed(sealed.message));
  EXPECT_EQ(*SealedTo(sealed.attachment), bob_.public_key());
  EXPECT_THAT(sealed.message.json() + sealed.attachment, Not(HasSubstr("hello")));
  const auto opened = Open(sealed.message, sealed.attachment, alice_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->content, Fields().content);
  EXPECT_EQ(opened->attachment, "");
  ExpectRefused(OpenSealed(sealed.message, sealed.attachment, alice_.public_key(), alice_), "and not to this one");
}

// The worked example of docs/protocol.md, §19.
TEST_F(SealTest, OpensTheBytesThatTheProtocolPromises) {
  const auto sender =
      crypto::SigningKey::FromSeed(*HexDecode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
  const auto recipient =
      crypto::SigningKey::FromSeed(*HexDecode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
  const std::string attachment = *HexDecode(
      "013d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
      "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
      "2cc192943915b878a05c09872b6ef6d92bd38be076d9d2b90db3fa56f00b2073ae");
  const auto message = Message::Sign({.id = "00112233445566778899aabbccddeeff",
                                      .sender = "bob.agent",
                                      .recipient = "alice.agent",
                                      .timestamp = SampleTime(),
                                      .content = AttachmentContent(kSealedMediaType, attachment)},
                                     *sender);
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_THAT(message->json(),
              HasSubstr("D4x5t1l1/MmXtZ+edKSl4y27CjlYabK2IKN9R9HktchkZ6k72qEJsVEQKA16pPv9B3ckwaJMRTq3YOVSWainDg=="));
  const auto opened = OpenSealed(*message, attachment, sender->public_key(), *recipient);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->content, Json({{"text", "hello"}}));
}

TEST_F(SealTest, AnAttachmentIsInsideWithItsType) {
  for (const size_t size : {1, 1000, 1'000'000}) {
    MessageFields fields = Fields();
    const std::string bytes = random_.Bytes(size);
    fields.content = AttachmentContent("image/png", bytes);
    const SealedMessage sealed = Seal(fields, bytes);
    EXPECT_THAT(sealed.message.json(), Not(HasSubstr("image/png")));
    const auto opened = Open(sealed.message, sealed.attachment, alice_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->attachment, bytes);
    EXPECT_EQ(opened->content["mediaType"], "image/png");
  }
}

TEST_F(SealTest, NothingCanBeSaidSealed) {
  MessageFields fields = Fields();
  fields.content = Json::object();
  const SealedMessage sealed = Seal(fields);
  EXPECT_EQ(sealed.attachment.size(), kSealOverhead + 3);
  EXPECT_EQ(Open(sealed.message, sealed.attachment, alice_)->content, Json::object());
}

TEST_F(SealTest, TheSameIsNeverSealedTwiceAlike) {
  EXPECT_NE(Seal(Fields()).attachment.substr(33), Seal(Fields()).attachment.substr(33));
}

TEST_F(SealTest, NamesAndDatesAreBoundAsTheyAreWritten) {
  MessageFields fields = Fields();
  fields.sender = "Alice.AGENT";
  const SealedMessage sealed = Seal(fields);
  EXPECT_TRUE(Open(sealed.message, sealed.attachment, alice_).ok());
  // The same moment, in another spelling, is another message.
  Json other = Json::parse(sealed.message.json());
  other["timestamp"] = "2026-11-23T13:00:00+01:00";
  const auto message = Message::Verify(SignAnyway(other, alice_), alice_.public_key(), SampleTime());
  ASSERT_TRUE(message.ok()) << message.status();
  ExpectRefused(OpenSealed(*message, sealed.attachment, alice_.public_key(), bob_), "does not authenticate");
}

TEST_F(SealTest, DoesNotOpenInAnotherMessage) {
  const SealedMessage sealed = Seal(Fields());
  const auto in_another = [&](auto change) {
    MessageFields fields = Fields();
    change(fields);
    return Open(Around(fields, sealed.attachment, alice_), sealed.attachment, alice_);
  };
  EXPECT_TRUE(in_another([](MessageFields&) {}).ok());
  ExpectRefused(in_another([](MessageFields& fields) { fields.id = "another"; }), "does not authenticate");
  ExpectRefused(in_another([](MessageFields& fields) { fields.type = MessageType::kError; }), "does not authenticate");
  ExpectRefused(in_another([](MessageFields& fields) { fields.sender = "mallory.agent"; }), "does not authenticate");
  ExpectRefused(in_another([](MessageFields& fields) { fields.recipient = "carol.agent"; }), "does not authenticate");
  ExpectRefused(in_another([](MessageFields& fields) { fields.timestamp += absl::Milliseconds(1); }),
                "does not authenticate");
}

TEST_F(SealTest, NobodySignsAnothersSealedContentAsHisOwn) {
  const SealedMessage sealed = Seal(Fields());
  ExpectRefused(Open(Around(Fields(), sealed.attachment, mallory_), sealed.attachment, mallory_),
                "does not authenticate");
}

TEST_F(SealTest, RefusesEveryAlteredByteAndWhatIsCutOff) {
  const SealedMessage sealed = Seal(Fields());
  const auto open = [&](const std::string& bytes) { return Open(Around(Fields(), bytes, alice_), bytes, alice_); };
  for (size_t i = 0; i < sealed.attachment.size(); ++i) {
    std::string changed = sealed.attachment;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    ExpectRefused(open(changed), i == 0 ? "version" : i < 33 ? "and not to this one" : "does not authenticate");
  }
  for (size_t size = 1; size < sealed.attachment.size(); ++size) {
    ExpectRefused(open(sealed.attachment.substr(0, size)), size < kSealOverhead ? "cut off" : "does not authenticate");
  }
  ExpectRefused(open(""), "version");
  ExpectRefused(open(sealed.attachment + "x"), "does not authenticate");
}

TEST_F(SealTest, RefusesAnEphemeralKeyOfSmallOrder) {
  std::string attachment = Seal(Fields()).attachment;
  attachment.replace(33, 32, std::string(32, '\0'));
  ExpectRefused(Open(Around(Fields(), attachment, alice_), attachment, alice_), "small order");
}

TEST_F(SealTest, RefusesWhatIsNoContentInside) {
  const auto open = [&](const std::string& inside) {
    const std::string attachment = SealAnyway(inside);
    return Open(Around(Fields(), attachment, alice_), attachment, alice_);
  };
  EXPECT_TRUE(open(WithLength(R"({"text":"hello"})")).ok()) << open(WithLength(R"({"text":"hello"})")).status();
  ExpectRefused(open(""), "no length");
  ExpectRefused(open(std::string(20, '\xff')), "no length");
  ExpectRefused(open("\x80"), "no length");
  ExpectRefused(open("\x05{}"), "cut off");
  ExpectRefused(open(WithLength(absl::StrCat(R"({"a":")", std::string(kMaxMessageSize, 'a'), R"("})"))), "too long");
  ExpectRefused(open(WithLength("[]")), "no object");
  ExpectRefused(open(WithLength(R"({"a":1,"a":2})")), "its content: ");
  ExpectRefused(open(WithLength("{}") + "bytes that nobody announced"), "describes no attachment");
  const std::string described = *CanonicalJson(AttachmentContent("text/plain", "some bytes"));
  EXPECT_EQ(open(WithLength(described) + "some bytes")->attachment, "some bytes");
  ExpectRefused(open(WithLength(described) + "same bytes"), "it was altered");
  ExpectRefused(open(WithLength(described)), "not the size");
}

TEST_F(SealTest, RequestsAreNotSealed) {
  const auto sealed = SignSealed(SampleMessageFields(), "", bob_.public_key(), alice_, random_);
  EXPECT_EQ(ReasonOf(sealed.status()), reason::kBadMessage);
  EXPECT_THAT(std::string(sealed.status().message()), HasSubstr("judge it by its method"));
  // Nor opened, whoever made one.
  MessageFields request = Fields();
  request.type = MessageType::kRequest;
  const std::string attachment = Seal(Fields()).attachment;
  ExpectRefused(Open(Around(request, attachment, alice_), attachment, alice_), "judge it by its method");
}

TEST_F(SealTest, WhatIsNotSealedIsNotOpened) {
  const Message plain = *Message::Sign(Fields(), alice_);
  EXPECT_FALSE(IsSealed(plain));
  ExpectRefused(OpenSealed(plain, "", alice_.public_key(), bob_), "not sealed");
}

TEST_F(SealTest, KeepsToTheLimits) {
  MessageFields fields = Fields();
  fields.content = AttachmentContent("x/y", "");
  const std::string json = *CanonicalJson(AttachmentContent("x/y", std::string(1'000'000, 'x')));
  const size_t most = kMaxAttachmentSize - kSealOverhead - WithLength(json).size();
  for (const size_t size : {most, most + 1}) {
    const std::string bytes(size, 'x');
    fields.content = AttachmentContent("x/y", bytes);
    const auto sealed = SignSealed(fields, bytes, bob_.public_key(), alice_, random_);
    if (size == most) {
      ASSERT_TRUE(sealed.ok()) << sealed.status();
      EXPECT_EQ(sealed->attachment.size(), kMaxAttachmentSize);
      EXPECT_EQ(Open(sealed->message, sealed->attachment, alice_)->attachment, bytes);
    } else {
      EXPECT_EQ(ReasonOf(sealed.status()), reason::kTooLarge);
    }
  }
  fields.content = {{"text", std::string(kMaxMessageSize, 'x')}};
  EXPECT_EQ(ReasonOf(SignSealed(fields, "", bob_.public_key(), alice_, random_).status()), reason::kTooLarge);
  fields.content = {{"text", "hello"}};
  EXPECT_EQ(ReasonOf(SignSealed(fields, "not described", bob_.public_key(), alice_, random_).status()),
            reason::kBadMessage);
  fields.id = "no id";
  EXPECT_EQ(ReasonOf(SignSealed(fields, "", bob_.public_key(), alice_, random_).status()), reason::kBadMessage);
}

TEST_F(SealTest, NothingIsSealedToAKeyThatIsNone) {
  const auto key = crypto::PublicKey::FromUncheckedBytes(std::string(32, '\0'));
  EXPECT_EQ(ReasonOf(SignSealed(Fields(), "", *key, alice_, random_).status()), reason::kBadKey);
}

}  // namespace
}  // namespace dotagent::record
