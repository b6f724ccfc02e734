// How an operator sets what admission.h enforces.
#ifndef DOTAGENT_SERVICES_GATEWAY_ADMISSION_OPTIONS_H_
#define DOTAGENT_SERVICES_GATEWAY_ADMISSION_OPTIONS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/config.h"
#include "services/gateway/admission.h"

namespace dotagent::gateway_service {

// Rates are calls a second, 0 any number; bursts are at least 1.
struct AdmissionOptions {
  double agent_rate = 20'000;                        // --agent-rate
  double agent_burst = 40'000;                       // --agent-burst
  uint64_t max_recipients = 10'000;                  // --max-recipients, of an agent in a minute; 0: any number
  double gateway_rate = 50'000;                      // --gateway-rate
  double gateway_burst = 100'000;                    // --gateway-burst
  double address_rate = 200;                         // --address-rate
  double address_burst = 2'000;                      // --address-burst
  double throttle_score = 100;                       // --throttle-score; 0: nobody is throttled
  double quarantine_score = 200;                     // --quarantine-score; 0: nobody is quarantined
  absl::Duration quarantine = absl::Minutes(1);      // --quarantine-time: the first
  absl::Duration overload = absl::Milliseconds(50);  // --overload-target; 0: waits shed nothing

  void AddTo(OptionTable& table);
  // InvalidArgument: a number below 0, or a quarantine of over a day.
  [[nodiscard]] absl::Status Check() const;
  [[nodiscard]] AdmissionLimits Limits() const;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_ADMISSION_OPTIONS_H_
