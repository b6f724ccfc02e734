#include "common/telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dotagent::telemetry {
namespace {

using ::testing::HasSubstr;

TEST(MetricsTest, RendersCountersGaugesAndHistogramsWithConstantLabels) {
  Metrics metrics(Labels{{"service", "resolver"}});
  metrics.AddCounter("dotagent_test_things_total", "Things.", {{"cause", "limit"}}).Increment();
  metrics.AddGauge("dotagent_test_open", "Open.").Set(3);
  metrics.AddHistogram("dotagent_test_seconds", "Time.", {0.1, 1}).Observe(0.5);
  const std::string text = metrics.Render();
  EXPECT_THAT(text, HasSubstr("# HELP dotagent_test_things_total Things."));
  EXPECT_THAT(text, HasSubstr("# TYPE dotagent_test_things_total counter"));
  EXPECT_THAT(text, HasSubstr(R"(dotagent_test_things_total{service="resolver",cause="limit"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(dotagent_test_open{service="resolver"} 3)"));
  EXPECT_THAT(text, HasSubstr(R"(dotagent_test_seconds_bucket{service="resolver",le="1"} 1)"));
}

TEST(MetricsTest, TheSameNameAndLabelsGiveTheSameMetric) {
  Metrics metrics;
  EXPECT_EQ(&metrics.AddCounter("dotagent_a_total", "A."), &metrics.AddCounter("dotagent_a_total", "A."));
  EXPECT_NE(&metrics.AddCounter("dotagent_a_total", "A.", {{"cause", "x"}}),
            &metrics.AddCounter("dotagent_a_total", "A.", {{"cause", "y"}}));
  EXPECT_EQ(&metrics.AddHistogram("dotagent_b_seconds", "B.", DurationBuckets()),
            &metrics.AddHistogram("dotagent_b_seconds", "B.", DurationBuckets()));
}

TEST(MetricsTest, BucketsRise) {
  const auto buckets = DurationBuckets();
  EXPECT_TRUE(std::is_sorted(buckets.begin(), buckets.end()));
  EXPECT_EQ(buckets.front(), 0.0001);
  EXPECT_EQ(buckets.back(), 30);
}

}  // namespace
}  // namespace dotagent::telemetry
