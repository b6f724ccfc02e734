#include "common/telemetry/metrics.h"

#include <prometheus/text_serializer.h>

#include <utility>

namespace dotagent::telemetry {

Metrics::Metrics(Labels constant)
    : constant_(std::move(constant)), registry_(std::make_shared<prometheus::Registry>()) {}

Counter& Metrics::AddCounter(const std::string& name, const std::string& help, const Labels& labels) {
  return prometheus::BuildCounter().Name(name).Help(help).Labels(constant_).Register(*registry_).Add(labels);
}

Gauge& Metrics::AddGauge(const std::string& name, const std::string& help, const Labels& labels) {
  return prometheus::BuildGauge().Name(name).Help(help).Labels(constant_).Register(*registry_).Add(labels);
}

Histogram& Metrics::AddHistogram(const std::string& name, const std::string& help, const std::vector<double>& buckets,
                                 const Labels& labels) {
  return prometheus::BuildHistogram().Name(name).Help(help).Labels(constant_).Register(*registry_).Add(labels, buckets);
}

std::string Metrics::Render() const { return prometheus::TextSerializer().Serialize(registry_->Collect()); }

std::vector<double> DurationBuckets() {
  return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
}

}  // namespace dotagent::telemetry
