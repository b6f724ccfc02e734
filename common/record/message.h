// Agents' messages (§5.1): exactly the specification's JSON, signed like a record.
//
// Binary content travels beside the JSON; `content` then holds {"mediaType": …, "sha256": hex, "size": n} and no other
// member. Refusals: TOO_LARGE, BAD_MESSAGE (says which field), BAD_NAME, BAD_SIGNATURE (InvalidArgument), FUTURE_DATED
// (FailedPrecondition). Defends against altered or forged messages; not against replay, which takes memory: see the
// gateway's inbox.
#ifndef DOTAGENT_COMMON_RECORD_MESSAGE_H_
#define DOTAGENT_COMMON_RECORD_MESSAGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/record/canonical_json.h"
#include "common/record/name.h"

namespace dotagent::record {

inline constexpr size_t kMaxMessageSize = 64 * 1024;
inline constexpr size_t kMaxAttachmentSize = 1024 * 1024;
inline constexpr size_t kMaxMessageIdSize = 64;

enum class MessageType { kRequest, kResponse, kNotification, kStream, kError };

// "REQUEST" and so on.
[[nodiscard]] absl::string_view MessageTypeName(MessageType type);
// InvalidArgument (BAD_MESSAGE) names the five that are allowed.
[[nodiscard]] absl::StatusOr<MessageType> ParseMessageType(absl::string_view text);

struct MessageFields {
  std::string id;  // 1–64 of [A-Za-z0-9_-]; NewMessageId() makes one
  MessageType type = MessageType::kNotification;
  std::string sender;
  std::string recipient;
  absl::Time timestamp;
  Json content = Json::object();
};

// 128 random bits in hexadecimal.
[[nodiscard]] std::string NewMessageId(Random& random);

// `content` for a message whose bytes travel beside it.
[[nodiscard]] Json AttachmentContent(absl::string_view media_type, absl::string_view attachment);

// A message whose signature has been verified. A value.
class Message {
 public:
  // In canonical form; checked by the rules of Verify.
  [[nodiscard]] static absl::StatusOr<Message> Sign(const MessageFields& fields, const crypto::Signer& key);

  // `key` is the sender's, from its record. Checks in this order: size, strict JSON, fields and types, id, type, names,
  // signature, timestamp. `now` refuses a message dated over 5 minutes ahead. Costs about one signature check.
  [[nodiscard]] static absl::StatusOr<Message> Verify(absl::string_view json, const crypto::PublicKey& key,
                                                      absl::Time now);

  // InvalidArgument (BAD_MESSAGE) unless the attachment is the one that `content` describes (or both are absent);
  // TOO_LARGE over kMaxAttachmentSize. An empty attachment is an absent one, unless `content` describes it.
  [[nodiscard]] absl::Status CheckAttachment(absl::string_view attachment) const;

  [[nodiscard]] const std::string& json() const { return json_; }  // verbatim
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] MessageType type() const { return type_; }
  [[nodiscard]] const Name& sender() const { return sender_; }
  [[nodiscard]] const Name& recipient() const { return recipient_; }
  [[nodiscard]] absl::Time timestamp() const { return timestamp_; }
  [[nodiscard]] const Json& content() const { return content_; }

 private:
  Message(std::string json, std::string id, MessageType type, Name sender, Name recipient)
      : json_(std::move(json)),
        id_(std::move(id)),
        type_(type),
        sender_(std::move(sender)),
        recipient_(std::move(recipient)) {}
  std::string json_;
  std::string id_;
  MessageType type_;
  Name sender_;
  Name recipient_;
  absl::Time timestamp_;
  Json content_;
};

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_MESSAGE_H_
