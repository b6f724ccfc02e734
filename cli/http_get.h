// A page of a service's HTTP port (common/telemetry/http_endpoint.h).
#ifndef DOTAGENT_CLI_HTTP_GET_H_
#define DOTAGENT_CLI_HTTP_GET_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace dotagent::cli {

// The body of http://`address``path`, at most 1 MiB. InvalidArgument (BAD_ADDRESS) unless `address` is host:port,
// Unavailable (UNREACHABLE) if nobody answers in time, FailedPrecondition if the answer is another than 200.
[[nodiscard]] absl::StatusOr<std::string> HttpGet(absl::string_view address, absl::string_view path,
                                                  absl::Duration timeout);

}  // namespace dotagent::cli

#endif  // DOTAGENT_CLI_HTTP_GET_H_
