#include "services/identity/stranger_limits.h"

#include "absl/strings/str_cat.h"
#include "common/abuse/refusal.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"

namespace dotagent::identity_service {
namespace {

constexpr char kRefused[] = "dotagent_identity_revocations_refused_total";
constexpr char kRefusedHelp[] = "Revocations by keys without a certificate that were refused, by cause.";
constexpr char kWayIn[] =
    "get a certificate for the key that signs (`dotagent cert request`), which frees its revocations of any limit";

// A rate and nothing more: nobody is punished for what a neighbour behind the same address may have done.
abuse::ConductLimits RateOnly(const abuse::Rate& rate) {
  return {.rate = rate, .throttle_score = 0, .quarantine_score = 0};
}

}  // namespace

StrangerAdmission::StrangerAdmission(const StrangerLimits& limits, uint64_t seed, telemetry::Metrics& metrics)
    : max_bytes_(limits.max_bytes),
      addresses_(RateOnly(limits.rate), seed),
      too_fast_(metrics.AddCounter(kRefused, kRefusedHelp, {{"cause", "rate"}})),
      no_room_(metrics.AddCounter(kRefused, kRefusedHelp, {{"cause", "room"}})) {}

absl::Status StrangerAdmission::Admit(const std::string& address, uint64_t size, uint64_t taken, absl::Duration now) {
  if (taken >= max_bytes_ || size > max_bytes_ - taken) {
    no_room_.Increment();
    return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                           absl::StrCat("this identity service has no room left for revocations by keys that it has "
                                        "not certified; ",
                                        kWayIn, ", or have its operator raise --stranger-revocation-bytes"));
  }
  const abuse::Verdict verdict = addresses_.Admit(address, 1, now);
  if (verdict.admitted()) return absl::OkStatus();
  too_fast_.Increment();
  const absl::Status refusal = abuse::Refusal(verdict, "this address");
  return WithRetryAfter(
      ErrorWithReason(refusal.code(), ReasonOf(refusal),
                      absl::StrCat("revoking with keys that this identity service has not certified: ",
                                   refusal.message(), ", or ", kWayIn)),
      verdict.retry_after);
}

}  // namespace dotagent::identity_service
