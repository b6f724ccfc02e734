#include "common/record/message.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/record/attachment.h"
#include "common/record/document.h"
#include "common/record/timestamp.h"

namespace dotagent::record {
namespace {

constexpr Field kFields[] = {
    {"id", FieldType::kString},        {"type", FieldType::kString},      {"sender", FieldType::kString},
    {"recipient", FieldType::kString}, {"timestamp", FieldType::kString}, {"content", FieldType::kObject},
    {"signature", FieldType::kString},
};

constexpr DocumentKind kMessageKind = {
    .noun = "message",
    .reason = reason::kBadMessage,
    .max_size = kMaxMessageSize,
    .size_hint = "send large content as an attachment or over a channel",
    .fields = kFields,
    .version = "/dotagent/message/1.0.0",
};

constexpr std::array<std::pair<MessageType, absl::string_view>, 5> kTypes = {{
    {MessageType::kRequest, "REQUEST"},
    {MessageType::kResponse, "RESPONSE"},
    {MessageType::kNotification, "NOTIFICATION"},
    {MessageType::kStream, "STREAM"},
    {MessageType::kError, "ERROR"},
}};

absl::Status BadMessage(absl::string_view problem) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage, absl::StrCat("message: ", problem));
}

absl::Status CheckId(absl::string_view id) {
  const bool ok =
      !id.empty() && id.size() <= kMaxMessageIdSize &&
      std::all_of(id.begin(), id.end(), [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; });
  if (ok) return absl::OkStatus();
  return BadMessage(absl::StrCat("id \"", absl::CHexEscape(id.substr(0, kMaxMessageIdSize)), "\" must be 1–",
                                 kMaxMessageIdSize, " of the characters A–Z, a–z, 0–9, _ and -"));
}

struct Parts {
  MessageType type;
  Name sender;
  Name recipient;
};

// The members that have rules of their own, but timestamp and signature.
absl::StatusOr<Parts> PartsOf(const Document& document) {
  RETURN_IF_ERROR(CheckId(document.String("id")));
  ASSIGN_OR_RETURN(const MessageType type, ParseMessageType(document.String("type")));
  ASSIGN_OR_RETURN(Name sender, Name::Parse(document.String("sender")));
  ASSIGN_OR_RETURN(Name recipient, Name::Parse(document.String("recipient")));
  return Parts{type, std::move(sender), std::move(recipient)};
}

}  // namespace

absl::string_view MessageTypeName(MessageType type) {
  for (const auto& [known, name] : kTypes) {
    if (known == type) return name;
  }
  return "";
}

absl::StatusOr<MessageType> ParseMessageType(absl::string_view text) {
  for (const auto& [type, name] : kTypes) {
    if (name == text) return type;
  }
  return BadMessage(absl::StrCat("type \"", absl::CHexEscape(text.substr(0, 32)),
                                 "\" is unknown; use REQUEST, RESPONSE, NOTIFICATION, STREAM or ERROR"));
}

std::string NewMessageId(Random& random) { return HexEncode(random.Bytes(16)); }

Json AttachmentContent(absl::string_view media_type, absl::string_view attachment) {
  return {{"mediaType", std::string(media_type)},
          {"sha256", HexEncode(crypto::Sha256(attachment))},
          {"size", static_cast<int64_t>(attachment.size())}};
}

absl::StatusOr<Message> Message::Sign(const MessageFields& fields, const crypto::Signer& key) {
  // By the rules of Verify, but for the signature, which is made here: to check it costs four times as much.
  RETURN_IF_ERROR(CheckId(fields.id));
  const absl::string_view type = MessageTypeName(fields.type);
  RETURN_IF_ERROR(ParseMessageType(type).status());
  ASSIGN_OR_RETURN(Name sender, Name::Parse(fields.sender));
  ASSIGN_OR_RETURN(Name recipient, Name::Parse(fields.recipient));
  const std::string written = FormatTimestamp(fields.timestamp);
  const absl::StatusOr<absl::Time> timestamp = ParseTimestamp(written);
  if (!timestamp.ok()) return BadMessage(timestamp.status().message());
  Json members = Json::object();
  members["id"] = fields.id;
  members["type"] = std::string(type);
  members["sender"] = sender.text();
  members["recipient"] = recipient.text();
  members["timestamp"] = written;
  members["content"] = fields.content;
  ASSIGN_OR_RETURN(std::string json, Document::Sign(kMessageKind, std::move(members), key));
  Message message(std::move(json), fields.id, fields.type, std::move(sender), std::move(recipient));
  message.timestamp_ = *timestamp;
  message.content_ = fields.content;
  return message;
}

absl::StatusOr<Message> Message::Verify(absl::string_view json, const crypto::PublicKey& key, absl::Time now) {
  ASSIGN_OR_RETURN(const Document document, Document::Parse(kMessageKind, json));
  ASSIGN_OR_RETURN(Parts parts, PartsOf(document));
  RETURN_IF_ERROR(document.VerifySignature(key));
  Message message(std::string(json), document.String("id"), parts.type, std::move(parts.sender),
                  std::move(parts.recipient));
  ASSIGN_OR_RETURN(message.timestamp_, document.CheckTimestamp(now));
  message.content_ = document.Value("content");
  return message;
}

absl::Status Message::CheckAttachment(absl::string_view attachment) const {
  return record::CheckAttachment(content_, attachment);
}

}  // namespace dotagent::record
