// An error that says when to try again. Travels to gRPC callers as google.rpc.RetryInfo.
#ifndef DOTAGENT_COMMON_BASE_RETRY_AFTER_H_
#define DOTAGENT_COMMON_BASE_RETRY_AFTER_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace dotagent {

// The same error, which says so. Rounded up to milliseconds, so that nobody comes too early. OK stays OK.
[[nodiscard]] absl::Status WithRetryAfter(absl::Status status, absl::Duration after);

// std::nullopt if the error does not say.
[[nodiscard]] std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);

}  // namespace dotagent

#endif  // DOTAGENT_COMMON_BASE_RETRY_AFTER_H_
