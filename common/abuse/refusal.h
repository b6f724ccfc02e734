// What a party is told that is refused for what it does, or for what the others do.
//
// RATE_LIMITED, TOO_MANY_RECIPIENTS and QUARANTINED are ResourceExhausted, OVERLOADED is Unavailable: it is not the
// caller's fault, and elsewhere it may be served. All say when to try again (common/base/retry_after.h).
#ifndef DOTAGENT_COMMON_ABUSE_REFUSAL_H_
#define DOTAGENT_COMMON_ABUSE_REFUSAL_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/abuse/conduct.h"

namespace dotagent::abuse {

// In docs/errors.md, with those of common/base/status.h.
inline constexpr absl::string_view kRateLimited = "RATE_LIMITED";
inline constexpr absl::string_view kTooManyRecipients = "TOO_MANY_RECIPIENTS";
inline constexpr absl::string_view kQuarantined = "QUARANTINED";
inline constexpr absl::string_view kOverloaded = "OVERLOADED";

// OK if it is admitted. `party`: "this agent", say.
[[nodiscard]] absl::Status Refusal(const Verdict& verdict, absl::string_view party);

// `what`: "messages of low priority", say.
[[nodiscard]] absl::Status Overloaded(absl::string_view what, absl::Duration retry_after);

}  // namespace dotagent::abuse

#endif  // DOTAGENT_COMMON_ABUSE_REFUSAL_H_
