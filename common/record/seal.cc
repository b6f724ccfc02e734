#include "common/record/seal.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/crypto/key_agreement.h"
#include "common/record/attachment.h"
#include "common/record/name.h"
#include "common/record/timestamp.h"

namespace dotagent::record {
namespace {

constexpr char kVersion = 1;
constexpr absl::string_view kContext("dotagent sealed message v1\0", 27);
constexpr size_t kHeadSize = 1 + crypto::kPublicKeySize;
// The members that stay outside, and are bound to what is inside.
constexpr const char* kBound[] = {"id", "recipient", "sender", "timestamp", "type"};

absl::Status Bad(absl::string_view problem) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage,
                         absl::StrCat("sealed message: ", problem));
}

absl::Status CheckType(MessageType type) {
  if (type != MessageType::kRequest) return absl::OkStatus();
  return Bad("a REQUEST is not sealed, since gateways judge it by its method; call the agent over a channel");
}

std::string Info(const crypto::PublicKey& sender, const crypto::PublicKey& recipient) {
  return absl::StrCat(kContext, sender.bytes(), recipient.bytes());
}

// What Sign will write.
absl::StatusOr<std::string> BoundOf(const MessageFields& fields) {
  ASSIGN_OR_RETURN(const Name sender, Name::Parse(fields.sender));
  ASSIGN_OR_RETURN(const Name recipient, Name::Parse(fields.recipient));
  return CanonicalJson({{"id", fields.id},
                        {"recipient", recipient.text()},
                        {"sender", sender.text()},
                        {"timestamp", FormatTimestamp(fields.timestamp)},
                        {"type", std::string(MessageTypeName(fields.type))}});
}

// As the message was written: a date has more than one spelling.
absl::StatusOr<std::string> BoundOf(const Message& message) {
  ASSIGN_OR_RETURN(const Json members, ParseStrictJson(message.json()));
  Json bound = Json::object();
  for (const char* member : kBound) bound[member] = members.at(member);
  return CanonicalJson(bound);
}

absl::StatusOr<std::string> Inside(const Json& content, absl::string_view attachment) {
  if (!content.is_object()) return Bad("its content must be an object");
  RETURN_IF_ERROR(CheckAttachment(content, attachment));
  ASSIGN_OR_RETURN(const std::string json, CanonicalJson(content));
  std::string inside = WithLength(json);
  if (json.size() <= kMaxMessageSize && inside.size() + attachment.size() <= kMaxAttachmentSize - kSealOverhead) {
    absl::StrAppend(&inside, attachment);
    return inside;
  }
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                         absl::StrCat("sealed message: its content has ", json.size(), " bytes and its attachment ",
                                      attachment.size(), "; at most ", kMaxMessageSize, ", and together ",
                                      kMaxAttachmentSize - kSealOverhead - (inside.size() - json.size()),
                                      ", are allowed: send it over a channel"));
}

absl::StatusOr<OpenedContent> ReadInside(absl::string_view inside) {
  const absl::StatusOr<std::optional<Varint>> length = ReadVarint(inside);
  if (!length.ok() || !length->has_value()) return Bad("there is no length of its content inside");
  const Varint read = **length;
  inside.remove_prefix(read.size);
  if (read.value > kMaxMessageSize || read.value > inside.size()) return Bad("its content is cut off, or too long");
  absl::StatusOr<Json> content = ParseStrictJson(inside.substr(0, read.value));
  if (!content.ok()) return Bad(absl::StrCat("its content: ", content.status().message()));
  if (!content->is_object()) return Bad("its content is no object");
  OpenedContent opened{*std::move(content), std::string(inside.substr(read.value))};
  RETURN_IF_ERROR(WithContext(CheckAttachment(opened.content, opened.attachment), "sealed message"));
  return opened;
}

}  // namespace

absl::StatusOr<SealedMessage> SignSealed(const MessageFields& fields, absl::string_view attachment,
                                         const crypto::PublicKey& recipient, const crypto::Signer& key,
                                         Random& random) {
  RETURN_IF_ERROR(CheckType(fields.type));
  ASSIGN_OR_RETURN(const std::string inside, Inside(fields.content, attachment));
  ASSIGN_OR_RETURN(const std::string agreement_key, crypto::X25519PublicOf(recipient));
  ASSIGN_OR_RETURN(const std::string bound, BoundOf(fields));
  ASSIGN_OR_RETURN(const std::string sealed, crypto::HpkeSeal(crypto::DhKey::Generate(random), agreement_key,
                                                              Info(key.public_key(), recipient), bound, inside));
  std::string outside = absl::StrCat(absl::string_view(&kVersion, 1), recipient.bytes(), sealed);
  MessageFields outer = fields;
  outer.content = AttachmentContent(kSealedMediaType, outside);
  ASSIGN_OR_RETURN(Message message, Message::Sign(outer, key));
  return SealedMessage{std::move(message), std::move(outside)};
}

bool IsSealed(const Message& message) {
  return DescribesAttachment(message.content()) && message.content()["mediaType"] == kSealedMediaType;
}

absl::StatusOr<crypto::PublicKey> SealedTo(absl::string_view attachment) {
  if (attachment.empty() || attachment.front() != kVersion) {
    return Bad("it is of a version that this release does not know; it opens version 1");
  }
  if (attachment.size() < kSealOverhead) {
    return Bad(absl::StrCat("it has ", attachment.size(), " bytes and so is cut off"));
  }
  return crypto::PublicKey::FromUncheckedBytes(attachment.substr(1, crypto::kPublicKeySize));
}

absl::StatusOr<OpenedContent> OpenSealed(const Message& message, absl::string_view attachment,
                                         const crypto::PublicKey& sender, const crypto::SigningKey& key) {
  if (!IsSealed(message)) return Bad("it is not sealed");
  RETURN_IF_ERROR(CheckType(message.type()));
  ASSIGN_OR_RETURN(const crypto::PublicKey recipient, SealedTo(attachment));
  if (recipient != key.public_key()) {
    return Bad(absl::StrCat("it is sealed to the key ", Base64Encode(recipient.bytes()), " and not to this one"));
  }
  ASSIGN_OR_RETURN(const std::string bound, BoundOf(message));
  const absl::StatusOr<std::string> inside =
      crypto::HpkeOpen(crypto::X25519KeyOf(key), Info(sender, recipient), bound, attachment.substr(kHeadSize));
  if (!inside.ok()) return Bad(inside.status().message());
  return ReadInside(*inside);
}

}  // namespace dotagent::record
