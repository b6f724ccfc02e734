// What the agent beside a gateway says and hears, between SidecarService's messages and the specification's.
#ifndef DOTAGENT_SERVICES_GATEWAY_SIDECAR_CONTENT_H_
#define DOTAGENT_SERVICES_GATEWAY_SIDECAR_CONTENT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/record/canonical_json.h"
#include "common/record/message.h"
#include "dotagent/sidecar/v1/sidecar.pb.h"

namespace dotagent::gateway_service {

// The content of a message: `json`, an object (empty: one without members), or what describes the attachment, if there
// is one. InvalidArgument: BAD_MESSAGE, TOO_LARGE.
[[nodiscard]] absl::StatusOr<record::Json> ContentOf(absl::string_view json, absl::string_view attachment,
                                                     absl::string_view media_type);
// InvalidArgument (BAD_MESSAGE) unless it is 1 to 16, a canonical code that is no OK: as the error that it stands for.
[[nodiscard]] absl::StatusOr<absl::Status> ErrorOf(int code, absl::string_view text);

[[nodiscard]] absl::StatusOr<record::MessageType> TypeOf(sidecar::v1::MessageType type);
[[nodiscard]] sidecar::v1::MessageType TypeOf(record::MessageType type);

// A message's content, in canonical form.
[[nodiscard]] absl::StatusOr<std::string> ContentJson(const record::Message& message);

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_SIDECAR_CONTENT_H_
