#include "common/record/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "tests/unit/record/samples.h"

namespace dotagent::record {
namespace {

using testing::HasSubstr;

Json SampleJson() {
  const auto message = Message::Sign(SampleMessageFields(), SampleKey());
  EXPECT_TRUE(message.ok()) << message.status();
  return Json::parse(message->json());
}

absl::Status Verify(const std::string& json) {
  return Message::Verify(json, SampleKey().public_key(), SampleTime()).status();
}

void ExpectRefused(const absl::Status& status, absl::string_view reason, const std::string& problem,
                   absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(ReasonOf(status), reason) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(problem));
  EXPECT_LT(status.message().size(), 700U);
}

void ExpectFieldRefused(const std::string& field, const Json& value, absl::string_view reason,
                        const std::string& problem) {
  Json json = SampleJson();
  json[field] = value;
  ExpectRefused(Verify(SignAnyway(json, SampleKey())), reason, problem);
}

TEST(MessageTest, SignsAndVerifies) {
  MessageFields fields = SampleMessageFields();
  fields.sender = "Alice.agent";
  const auto signed_message = Message::Sign(fields, SampleKey());
  ASSERT_TRUE(signed_message.ok()) << signed_message.status();
  const auto message = Message::Verify(signed_message->json(), SampleKey().public_key(), SampleTime());
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->json(), signed_message->json());
  EXPECT_EQ(message->id(), fields.id);
  EXPECT_EQ(message->type(), MessageType::kRequest);
  EXPECT_EQ(message->sender().text(), "alice.agent");
  EXPECT_EQ(message->recipient().text(), "bob.agent");
  EXPECT_EQ(message->timestamp(), SampleTime());
  EXPECT_EQ(message->content(), fields.content);
}

TEST(MessageTest, KeepsTheBytes) {
  const std::string pretty = SampleJson().dump(2);
  EXPECT_EQ(Message::Verify(pretty, SampleKey().public_key(), SampleTime())->json(), pretty);
}

TEST(MessageTest, TypesHaveNames) {
  for (const MessageType type : {MessageType::kRequest, MessageType::kResponse, MessageType::kNotification,
                                 MessageType::kStream, MessageType::kError}) {
    EXPECT_EQ(*ParseMessageType(MessageTypeName(type)), type);
    MessageFields fields = SampleMessageFields();
    fields.type = type;
    EXPECT_EQ(Message::Sign(fields, SampleKey())->type(), type);
  }
  EXPECT_EQ(MessageTypeName(MessageType::kNotification), "NOTIFICATION");
  for (const char* bad : {"", "request", "REQUEST ", "QUERY"}) {
    ExpectRefused(ParseMessageType(bad).status(), reason::kBadMessage, "REQUEST, RESPONSE, NOTIFICATION, STREAM or");
    ExpectFieldRefused("type", bad, reason::kBadMessage, "is unknown");
  }
}

TEST(MessageTest, IdsAreShortAndPlain) {
  SystemRandom random;
  const std::string id = NewMessageId(random);
  EXPECT_EQ(id.size(), 32U);
  EXPECT_NE(id, NewMessageId(random));
  for (const std::string& good : {id, std::string("a"), std::string("A-b_9"), std::string(kMaxMessageIdSize, 'x')}) {
    MessageFields fields = SampleMessageFields();
    fields.id = good;
    EXPECT_TRUE(Message::Sign(fields, SampleKey()).ok()) << good;
  }
  for (const std::string& bad : {std::string(), std::string("a b"), std::string("a/b"), std::string("\xc3\xa9"),
                                 std::string("a\0b", 3), std::string(kMaxMessageIdSize + 1, 'x')}) {
    ExpectFieldRefused("id", bad, reason::kBadMessage, "id \"");
  }
}

TEST(MessageTest, RefusesOver64Kilobytes) {
  const std::string json = SampleJson().dump();
  const std::string padded = json + std::string(kMaxMessageSize - json.size(), ' ');
  EXPECT_TRUE(Verify(padded).ok());
  ExpectRefused(Verify(padded + " "), reason::kTooLarge, "65537 bytes");
  MessageFields fields = SampleMessageFields();
  fields.content = {{"text", std::string(kMaxMessageSize, 'x')}};
  ExpectRefused(Message::Sign(fields, SampleKey()).status(), reason::kTooLarge, "attachment");
}

TEST(MessageTest, RefusesWrongShapes) {
  ExpectRefused(Verify("{"), reason::kBadMessage, "not JSON");
  ExpectRefused(Verify("[]"), reason::kBadMessage, "JSON object");
  for (const char* field : {"id", "type", "sender", "recipient", "timestamp", "content", "signature"}) {
    Json json = SampleJson();
    json.erase(field);
    ExpectRefused(Verify(json.dump()), reason::kBadMessage, absl::StrCat("\"", field, "\" is missing"));
    json[field] = 7;
    ExpectRefused(Verify(json.dump()), reason::kBadMessage, absl::StrCat("\"", field, "\" must be"));
  }
  ExpectFieldRefused("replyTo", "x", reason::kBadMessage, "\"replyTo\" is unknown");
  for (const Json& bad : {Json("text"), Json::array(), Json(nullptr)}) {
    ExpectFieldRefused("content", bad, reason::kBadMessage, "must be an object");
  }
}

TEST(MessageTest, RefusesBadNames) {
  ExpectFieldRefused("sender", "alice", reason::kBadName, "alice");
  ExpectFieldRefused("recipient", "*.agent", reason::kBadName, "*.agent");
}

TEST(MessageTest, RefusesWrongSignatures) {
  const std::string json = SampleJson().dump();
  ExpectRefused(Message::Verify(json, SampleKey('x').public_key(), SampleTime()).status(), reason::kBadSignature,
                "does not verify");
  Json changed = SampleJson();
  changed["content"]["text"] = "hello!";
  ExpectRefused(Verify(changed.dump()), reason::kBadSignature, "does not verify");
  changed["signature"] = "";
  ExpectRefused(Verify(changed.dump()), reason::kBadSignature, "not signed");
  changed["signature"] = "?";
  ExpectRefused(Verify(changed.dump()), reason::kBadMessage, "base64");
}

TEST(MessageTest, RefusesFutureMessagesOnly) {
  const std::string json = SampleJson().dump();
  const crypto::PublicKey key = SampleKey().public_key();
  EXPECT_TRUE(Message::Verify(json, key, SampleTime() - absl::Minutes(5)).ok());
  EXPECT_TRUE(Message::Verify(json, key, SampleTime() + absl::Hours(24 * 365)).ok());
  ExpectRefused(Message::Verify(json, key, SampleTime() - absl::Minutes(6)).status(), reason::kFutureDated, "6m ahead",
                absl::StatusCode::kFailedPrecondition);
  ExpectFieldRefused("timestamp", "soon", reason::kBadMessage, "RFC 3339");
}

TEST(MessageTest, ContentThatHasNoCanonicalFormIsNotSigned) {
  for (const Json& bad : {Json{{"x", "\xff"}}, Json{{"x", 9007199254740993}}, Json{{"x", 1e308 * 10}}}) {
    MessageFields fields = SampleMessageFields();
    fields.content = bad;
    EXPECT_EQ(ReasonOf(Message::Sign(fields, SampleKey()).status()), reason::kBadMessage);
  }
}

TEST(MessageTest, AnAttachmentIsTheOneDescribed) {
  const std::string bytes("\0\x01 binary", 9);
  MessageFields fields = SampleMessageFields();
  fields.content = AttachmentContent("image/png", bytes);
  EXPECT_EQ(fields.content.dump(), absl::StrCat("{\"mediaType\":\"image/png\",\"sha256\":\"",
                                                HexEncode(crypto::Sha256(bytes)), "\",\"size\":9}"));
  const auto message = Message::Sign(fields, SampleKey());
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_TRUE(message->CheckAttachment(bytes).ok());
  ExpectRefused(message->CheckAttachment(""), reason::kBadMessage, "size");
  ExpectRefused(message->CheckAttachment(bytes + "x"), reason::kBadMessage, "size");
  ExpectRefused(message->CheckAttachment(std::string(9, 'x')), reason::kBadMessage, "altered");
  ExpectRefused(message->CheckAttachment(std::string(kMaxAttachmentSize + 1, 'x')), reason::kTooLarge, "channel");
}

TEST(MessageTest, AMessageWithoutADescriptionHasNoAttachment) {
  const auto message = Message::Sign(SampleMessageFields(), SampleKey());
  EXPECT_TRUE(message->CheckAttachment("").ok());
  ExpectRefused(message->CheckAttachment("x"), reason::kBadMessage, "describes no attachment");

  MessageFields fields = SampleMessageFields();
  fields.content = AttachmentContent("text/plain", "");
  EXPECT_TRUE(Message::Sign(fields, SampleKey())->CheckAttachment("").ok());
  for (const auto& [member, value] : {std::pair<const char*, Json>{"mediaType", 1}, {"size", "0"}, {"sha256", 0}}) {
    Json content = AttachmentContent("text/plain", "");
    content[member] = value;
    fields.content = content;
    EXPECT_EQ(ReasonOf(Message::Sign(fields, SampleKey())->CheckAttachment("")), reason::kBadMessage) << member;
  }
}

}  // namespace
}  // namespace dotagent::record
