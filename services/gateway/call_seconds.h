// How long agents' calls take: one histogram, by method, of which each room that serves a call has its own series.
#ifndef DOTAGENT_SERVICES_GATEWAY_CALL_SECONDS_H_
#define DOTAGENT_SERVICES_GATEWAY_CALL_SECONDS_H_

#include <string>

#include "common/telemetry/metrics.h"

namespace dotagent::gateway_service {

inline telemetry::Histogram& CallSeconds(telemetry::Metrics& metrics, const std::string& method) {
  return metrics.AddHistogram(
      "dotagent_gateway_request_seconds",
      "How long unary calls took, by method; what comes over Ask counts as the Request or Send that it is.",
      telemetry::DurationBuckets(), {{"method", method}});
}

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_CALL_SECONDS_H_
