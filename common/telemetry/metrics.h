// Metrics in Prometheus's naming: dotagent_<area>_<what>_<unit>[_total].
//
// A Metrics is one process's (or one service's, where several share a process) registry; components are handed it and
// keep references to the counters that they made, so that counting costs one atomic addition. Label values come from
// closed sets, never from strangers: cardinality is bounded.
//
//   Counter& dropped = metrics.AddCounter("dotagent_relay_dropped_total", "Circuits refused, by cause.", {{"cause",
//   "limit"}}); dropped.Increment();
#ifndef DOTAGENT_COMMON_TELEMETRY_METRICS_H_
#define DOTAGENT_COMMON_TELEMETRY_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dotagent::telemetry {

using Counter = prometheus::Counter;
using Gauge = prometheus::Gauge;
using Histogram = prometheus::Histogram;
using Labels = std::map<std::string, std::string>;

// Thread-safe. What it returns lives as long as it does.
class Metrics {
 public:
  // `constant` labels go on every metric, such as {{"service", "resolver"}}.
  explicit Metrics(Labels constant = {});

  // The same name and labels give the same counter again.
  [[nodiscard]] Counter& AddCounter(const std::string& name, const std::string& help, const Labels& labels = {});
  [[nodiscard]] Gauge& AddGauge(const std::string& name, const std::string& help, const Labels& labels = {});
  // `buckets` are upper bounds, rising; DurationBuckets() for seconds.
  [[nodiscard]] Histogram& AddHistogram(const std::string& name, const std::string& help,
                                        const std::vector<double>& buckets, const Labels& labels = {});

  // Prometheus's text format.
  [[nodiscard]] std::string Render() const;

 private:
  Labels constant_;
  std::shared_ptr<prometheus::Registry> registry_;
};

// 100 µs to 30 s, in seconds.
[[nodiscard]] std::vector<double> DurationBuckets();

}  // namespace dotagent::telemetry

#endif  // DOTAGENT_COMMON_TELEMETRY_METRICS_H_
