// What the handler counts. docs/operations.md explains each.
#ifndef DOTAGENT_SERVICES_RESOLVER_HANDLER_METRICS_H_
#define DOTAGENT_SERVICES_RESOLVER_HANDLER_METRICS_H_

#include "absl/status/status.h"
#include "common/telemetry/metrics.h"

namespace dotagent::resolver_service {

struct HandlerMetrics {
  explicit HandlerMetrics(telemetry::Metrics& metrics);

  // A lookup's answer to one who asked, or to no one (a renewal).
  void CountLookup(const absl::Status& status, bool from_own_store);
  void CountRenewal(const absl::Status& status);

  telemetry::Counter& cache_fresh;
  telemetry::Counter& cache_stale;
  telemetry::Counter& cache_absent;
  telemetry::Counter& store_found;
  telemetry::Counter& dht_found;
  telemetry::Counter& dht_not_found;
  telemetry::Counter& dht_conflict;
  telemetry::Counter& dht_revoked;
  telemetry::Counter& dht_failed;
  telemetry::Counter& joined;
  telemetry::Counter& refused;
  telemetry::Counter& renewed;
  telemetry::Counter& renewals_ended;
  telemetry::Counter& renewals_failed;
  telemetry::Counter& conflicts_in_dht;
  telemetry::Counter& conflicts_with_pin;
  telemetry::Counter& published;
  telemetry::Counter& publish_refused;
  telemetry::Histogram& resolve_seconds;
};

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_HANDLER_METRICS_H_
