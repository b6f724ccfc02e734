#include "cli/exit_status.h"

#include "common/base/status.h"

namespace dotagent::cli {

ExitStatus ExitStatusFor(const absl::Status& status) {
  if (status.ok()) return kOk;
  const std::string why = ReasonOf(status);
  if (why == reason::kConflict) return kContested;
  if (why == reason::kBadKey || why == reason::kBadName || why == reason::kBadAddress || why == kBadArgument) {
    return kUsage;
  }
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return why == reason::kNameNotFound ? kNotFound : kUsage;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kUnreachable;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kAborted:
      return kRefused;
    default:
      return kFailed;
  }
}

}  // namespace dotagent::cli
