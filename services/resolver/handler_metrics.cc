#include "services/resolver/handler_metrics.h"

#include <string>

#include "common/base/status.h"

namespace dotagent::resolver_service {
namespace {

telemetry::Counter& Resolves(telemetry::Metrics& metrics, const std::string& source, const std::string& result) {
  return metrics.AddCounter("dotagent_resolver_resolves_total",
                            "Names asked for, by where the answer came from and by result.",
                            {{"source", source}, {"result", result}});
}

telemetry::Counter& Renewals(telemetry::Metrics& metrics, const std::string& result) {
  return metrics.AddCounter("dotagent_resolver_renewals_total",
                            "Stale answers that were looked up anew behind whom they were handed to, by result.",
                            {{"result", result}});
}

telemetry::Counter& Conflicts(telemetry::Metrics& metrics, const std::string& with) {
  return metrics.AddCounter(
      "dotagent_resolver_conflicts_total",
      "Names whose owner is contested: the nodes disagree (dht), or another owner was seen here before (pin).",
      {{"with", with}});
}

telemetry::Counter& Publishes(telemetry::Metrics& metrics, const std::string& result) {
  return metrics.AddCounter("dotagent_resolver_publishes_total", "Records to publish, by result.",
                            {{"result", result}});
}

}  // namespace

HandlerMetrics::HandlerMetrics(telemetry::Metrics& metrics)
    : cache_fresh(Resolves(metrics, "cache", "found")),
      cache_stale(Resolves(metrics, "cache", "stale")),
      cache_absent(Resolves(metrics, "cache", "not_found")),
      store_found(Resolves(metrics, "store", "found")),
      dht_found(Resolves(metrics, "dht", "found")),
      dht_not_found(Resolves(metrics, "dht", "not_found")),
      dht_conflict(Resolves(metrics, "dht", "conflict")),
      dht_revoked(Resolves(metrics, "dht", "revoked")),
      dht_failed(Resolves(metrics, "dht", "failed")),
      joined(metrics.AddCounter("dotagent_resolver_joined_total",
                                "Requests that waited for a lookup which another one had begun.")),
      refused(metrics.AddCounter("dotagent_resolver_refused_total",
                                 "Requests refused because too many wait for lookups already.")),
      renewed(Renewals(metrics, "found")),
      renewals_ended(Renewals(metrics, "gone")),
      renewals_failed(Renewals(metrics, "failed")),
      conflicts_in_dht(Conflicts(metrics, "dht")),
      conflicts_with_pin(Conflicts(metrics, "pin")),
      published(Publishes(metrics, "stored")),
      publish_refused(Publishes(metrics, "refused")),
      resolve_seconds(metrics.AddHistogram("dotagent_resolver_resolve_seconds", "Time of a lookup in the DHT.",
                                           telemetry::DurationBuckets())) {}

void HandlerMetrics::CountLookup(const absl::Status& status, bool from_own_store) {
  if (status.ok()) {
    (from_own_store ? store_found : dht_found).Increment();
  } else if (absl::IsNotFound(status)) {
    dht_not_found.Increment();
  } else if (ReasonOf(status) == reason::kConflict) {
    dht_conflict.Increment();
  } else if (ReasonOf(status) == reason::kKeyRevoked) {
    dht_revoked.Increment();
  } else {
    dht_failed.Increment();
  }
}

void HandlerMetrics::CountRenewal(const absl::Status& status) {
  const bool gone =
      absl::IsNotFound(status) || ReasonOf(status) == reason::kConflict || ReasonOf(status) == reason::kKeyRevoked;
  (status.ok() ? renewed : gone ? renewals_ended : renewals_failed).Increment();
}

}  // namespace dotagent::resolver_service
