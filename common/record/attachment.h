// Binary content that travels beside a message's JSON (message.h). Inside this room only.
#ifndef DOTAGENT_COMMON_RECORD_ATTACHMENT_H_
#define DOTAGENT_COMMON_RECORD_ATTACHMENT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/record/canonical_json.h"

namespace dotagent::record {

// Whether `content` is a description of an attachment: mediaType, sha256, size, and no other member.
[[nodiscard]] bool DescribesAttachment(const Json& content);

// As Message::CheckAttachment.
[[nodiscard]] absl::Status CheckAttachment(const Json& content, absl::string_view attachment);

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_ATTACHMENT_H_
