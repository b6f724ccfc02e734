#include "services/gateway/sidecar_content.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::gateway_service {
namespace {

constexpr size_t kMaxMediaType = 256;  // bytes
constexpr int kLastCode = 16;          // UNAUTHENTICATED

absl::Status Bad(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage, what);
}

absl::Status TooLarge(absl::string_view what, size_t size, size_t limit) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                         absl::StrCat("the ", what, " has ", size, " bytes; at most ", limit, " are allowed"));
}

}  // namespace

absl::StatusOr<record::Json> ContentOf(absl::string_view json, absl::string_view attachment,
                                       absl::string_view media_type) {
  if (json.size() > record::kMaxMessageSize) return TooLarge("content_json", json.size(), record::kMaxMessageSize);
  if (attachment.size() > record::kMaxAttachmentSize) {
    return TooLarge("attachment", attachment.size(), record::kMaxAttachmentSize);
  }
  if (media_type.size() > kMaxMediaType) return TooLarge("media_type", media_type.size(), kMaxMediaType);
  if (!attachment.empty()) {
    if (!json.empty()) return Bad("give content_json or an attachment, not both: the content describes the attachment");
    return record::AttachmentContent(media_type.empty() ? "application/octet-stream" : media_type, attachment);
  }
  if (json.empty()) return record::Json::object();
  auto content = record::ParseStrictJson(json);
  if (!content.ok()) return Bad(absl::StrCat("content_json: ", content.status().message()));
  if (!content->is_object()) return Bad("content_json is no JSON object");
  return content;
}

absl::StatusOr<absl::Status> ErrorOf(int code, absl::string_view text) {
  if (code < 1 || code > kLastCode) {
    return Bad(absl::StrCat("error_code ", code, " is no canonical code from 1 to ", kLastCode));
  }
  return absl::Status(static_cast<absl::StatusCode>(code), text);
}

absl::StatusOr<record::MessageType> TypeOf(sidecar::v1::MessageType type) {
  switch (type) {
    case sidecar::v1::MESSAGE_TYPE_UNSPECIFIED:
    case sidecar::v1::MESSAGE_TYPE_NOTIFICATION:
      return record::MessageType::kNotification;
    case sidecar::v1::MESSAGE_TYPE_REQUEST:
      return record::MessageType::kRequest;
    case sidecar::v1::MESSAGE_TYPE_RESPONSE:
      return record::MessageType::kResponse;
    case sidecar::v1::MESSAGE_TYPE_STREAM:
      return record::MessageType::kStream;
    case sidecar::v1::MESSAGE_TYPE_ERROR:
      return record::MessageType::kError;
    default:
      return Bad(absl::StrCat("there is no message type ", static_cast<int>(type)));
  }
}

sidecar::v1::MessageType TypeOf(record::MessageType type) {
  switch (type) {
    case record::MessageType::kRequest:
      return sidecar::v1::MESSAGE_TYPE_REQUEST;
    case record::MessageType::kResponse:
      return sidecar::v1::MESSAGE_TYPE_RESPONSE;
    case record::MessageType::kNotification:
      return sidecar::v1::MESSAGE_TYPE_NOTIFICATION;
    case record::MessageType::kStream:
      return sidecar::v1::MESSAGE_TYPE_STREAM;
    case record::MessageType::kError:
      return sidecar::v1::MESSAGE_TYPE_ERROR;
  }
  return sidecar::v1::MESSAGE_TYPE_UNSPECIFIED;
}

absl::StatusOr<std::string> ContentJson(const record::Message& message) {
  return record::CanonicalJson(message.content());
}

}  // namespace dotagent::gateway_service
