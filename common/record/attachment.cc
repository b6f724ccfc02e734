#include "common/record/attachment.h"

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/record/message.h"

namespace dotagent::record {
namespace {

absl::Status Bad(absl::string_view problem) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage, absl::StrCat("message: ", problem));
}

}  // namespace

bool DescribesAttachment(const Json& content) {
  return content.size() == 3 && content.contains("mediaType") && content.contains("sha256") && content.contains("size");
}

absl::Status CheckAttachment(const Json& content, absl::string_view attachment) {
  if (attachment.size() > kMaxAttachmentSize) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                           absl::StrCat("attachment: it has ", attachment.size(), " bytes; at most ",
                                        kMaxAttachmentSize, " are allowed: send it over a channel"));
  }
  if (!DescribesAttachment(content)) {
    if (attachment.empty()) return absl::OkStatus();
    return Bad(
        "its content describes no attachment, but one came with it; set content to mediaType, sha256 and "
        "size of the attachment");
  }
  if (!content["mediaType"].is_string()) return Bad("mediaType must be a string");
  if (content["size"] != attachment.size()) {
    return Bad(absl::StrCat("the attachment has ", attachment.size(), " bytes, not the size in content"));
  }
  if (content["sha256"] != HexEncode(crypto::Sha256(attachment))) {
    return Bad("the attachment's SHA-256 is not the one in content; it was altered");
  }
  return absl::OkStatus();
}

}  // namespace dotagent::record
