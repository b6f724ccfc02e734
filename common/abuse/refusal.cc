#include "common/abuse/refusal.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"

namespace dotagent::abuse {
namespace {

std::string Rounded(absl::Duration time) {
  const absl::Duration step = time < absl::Seconds(1) ? absl::Milliseconds(1) : absl::Seconds(1);
  return absl::FormatDuration(std::max(absl::Ceil(time, step), step));
}

absl::Status Exhausted(absl::string_view reason, const std::string& why, absl::Duration retry_after) {
  return WithRetryAfter(ErrorWithReason(absl::StatusCode::kResourceExhausted, reason, why), retry_after);
}

}  // namespace

absl::Status Refusal(const Verdict& verdict, absl::string_view party) {
  const std::string wait = Rounded(verdict.retry_after);
  switch (verdict.kind) {
    case Verdict::Kind::kAdmitted:
      return absl::OkStatus();
    case Verdict::Kind::kTooFast:
      return Exhausted(kRateLimited,
                       verdict.standing == Standing::kThrottled
                           ? absl::StrCat(party, " is throttled for what it did in the last minutes; try again in ",
                                          wait, ", slow down, and `dotagent doctor` shows why")
                           : absl::StrCat(party, " calls too fast; try again in ", wait),
                       verdict.retry_after);
    case Verdict::Kind::kTooManyRecipients:
      return Exhausted(kTooManyRecipients,
                       absl::StrCat(party, " has written to too many recipients within a minute; go on in ", wait,
                                    ", or publish to a topic"),
                       verdict.retry_after);
    case Verdict::Kind::kQuarantined:
      return Exhausted(kQuarantined,
                       absl::StrCat(party, " is quarantined for what it did; every call is refused for another ", wait,
                                    ", and it may be longer the next time"),
                       verdict.retry_after);
  }
  return absl::InternalError("no such verdict");
}

absl::Status Overloaded(absl::string_view what, absl::Duration retry_after) {
  return WithRetryAfter(
      ErrorWithReason(absl::StatusCode::kUnavailable, kOverloaded,
                      absl::StrCat("this gateway cannot keep up and takes no ", what, "; try again in ",
                                   Rounded(retry_after), ", or send it with a higher priority")),
      retry_after);
}

}  // namespace dotagent::abuse
