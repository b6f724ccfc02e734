// How many revocations are written for strangers: keys that this service has given no certificate.
//
// Anyone can make keys and revoke them, and a revocation is kept for good, here and by whoever follows. So strangers
// share a room of bytes that never empties, and each address has a rate. A registrar's word, those whose key has a
// certificate here (certificate_log.h) and the deployment's named gateways never come this way: strangers keep no one
// of them out.
//
// Defends against who fills the disk: from few addresses by the rate, from many by the room. What it costs them is to
// keep other strangers out until these get a certificate, or the operator makes the room larger. Why so:
// docs/adr/0034-revocations-by-strangers.md.
#ifndef DOTAGENT_SERVICES_IDENTITY_STRANGER_LIMITS_H_
#define DOTAGENT_SERVICES_IDENTITY_STRANGER_LIMITS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/abuse/conduct.h"
#include "common/abuse/token_bucket.h"
#include "common/telemetry/metrics.h"

namespace dotagent::identity_service {

struct StrangerLimits {
  abuse::Rate rate = {.per_second = 0.1, .burst = 300};  // of an address; per_second 0: any number
  uint64_t max_bytes = uint64_t{128} << 20;              // of all; over 300,000 ordinary revocations
};

// Not thread-safe.
class StrangerAdmission {
 public:
  StrangerAdmission(const StrangerLimits& limits, uint64_t seed, telemetry::Metrics& metrics);

  // Whether one of `size` bytes may be written, where `taken` are by now. `address`: the caller's; `now`: what has
  // passed (Clock::Elapsed). ResourceExhausted: LIMIT if the room is full, RATE_LIMITED, with when to try again.
  [[nodiscard]] absl::Status Admit(const std::string& address, uint64_t size, uint64_t taken, absl::Duration now);

 private:
  const uint64_t max_bytes_;
  abuse::Conduct addresses_;
  telemetry::Counter& too_fast_;
  telemetry::Counter& no_room_;
};

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_SERVICES_IDENTITY_STRANGER_LIMITS_H_
