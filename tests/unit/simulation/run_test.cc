// The simulator in short: networks that finish in seconds, with bounds that a worse DHT does not reach.
#include "tests/simulation/run.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace dotagent::simulation {
namespace {

Outcome RunWith(Parameters parameters) {
  EXPECT_TRUE(parameters.Complete().ok());
  return Run(
      parameters, [](const std::string&, uint64_t) {}, [] {});
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

std::string JsonOf(Parameters parameters) {
  EXPECT_TRUE(parameters.Complete().ok());
  return ToJson(parameters, Run(
                                parameters, [](const std::string&, uint64_t) {}, [] {}));
}

TEST(RunTest, AnHonestNetworkFindsEveryNameAndKnowsWhichDoNotExist) {
  const Outcome outcome = RunWith({.nodes = 60, .lookups = 80, .absent = 0.25, .seed = 5});
  EXPECT_EQ(outcome.names_published, 80U);
  EXPECT_GT(outcome.present.lookups, 40U);
  EXPECT_EQ(outcome.present.as_wished, outcome.present.lookups);
  EXPECT_GT(outcome.absent.lookups, 5U);
  EXPECT_EQ(outcome.absent.as_wished, outcome.absent.lookups);
  EXPECT_EQ(outcome.records_lost, 0U);
  EXPECT_EQ(outcome.names_stolen, 0U);
  // A routing table with most of the nodes in it cannot be smaller than their ids. (The sanitizers' allocators do not
  // tell how much is in use.)
  if (!kSanitized) {
    EXPECT_GT(outcome.ram_bytes_per_node, 40U * 32);
  }
  // One request and one answer at the least; and not everybody is asked.
  EXPECT_GE(outcome.present.messages, 2 * outcome.present.lookups);
  EXPECT_LT(outcome.present.messages, 2 * 59 * outcome.present.lookups);
}

TEST(RunTest, NothingIsFoundWhereEverybodyElseIsHostile) {
  const Outcome outcome = RunWith({.nodes = 40, .hostile = 0.9, .behaviour = "lie", .lookups = 40});
  EXPECT_LT(outcome.present.as_wished, 20U);
}

TEST(RunTest, NodesComeAndGo) {
  const Outcome outcome = RunWith({.nodes = 60, .churn = 1, .hours = 1, .lookups = 60});
  // 60 are expected; five standard deviations are 39.
  EXPECT_GT(outcome.nodes_replaced, 21U);
  EXPECT_LT(outcome.nodes_replaced, 99U);
  EXPECT_GE(outcome.virtual_hours, 1);
  EXPECT_EQ(outcome.present.lookups + outcome.readers_left, 60U);
  EXPECT_GE(outcome.present.as_wished + 1, outcome.present.lookups);
  EXPECT_EQ(outcome.records_lost, 0U);
}

TEST(RunTest, ACertifiedNameIsNotStolen) {
  const Outcome outcome =
      RunWith({.nodes = 60, .hostile = 0.2, .behaviour = "claim", .lookups = 40, .policy = "registrar"});
  EXPECT_GE(outcome.names_published, 39U);
  EXPECT_EQ(outcome.thefts_tried, outcome.names_published);
  EXPECT_EQ(outcome.thefts_confirmed, 0U);
  EXPECT_EQ(outcome.names_stolen, 0U);
  EXPECT_EQ(outcome.names_contested, 0U);
  EXPECT_GE(outcome.present.as_wished, 38U);
}

// All figures but those that are measured of the machine.
nlohmann::json FiguresOf(const Parameters& parameters) {
  nlohmann::json figures = nlohmann::json::parse(JsonOf(parameters));
  EXPECT_EQ(figures.erase("ram_bytes_per_node"), 1U);
  EXPECT_EQ(figures.erase("wall_s"), 1U);
  EXPECT_EQ(figures.erase("threads"), 1U);
  return figures;
}

TEST(RunTest, TheSameSeedGivesTheSameFiguresAndAnotherSeedOthers) {
  const Parameters parameters{.nodes = 50, .hostile = 0.2, .churn = 1, .hours = 0.3, .lookups = 40, .absent = 0.1};
  const nlohmann::json first = FiguresOf(parameters);
  EXPECT_EQ(FiguresOf(parameters), first);
  Parameters other = parameters;
  other.seed = 2;
  EXPECT_NE(FiguresOf(other)["events"], first["events"]);
}

// All that hostile nodes do, so that all of it runs on several threads (make tsan).
TEST(RunTest, TheNumberOfThreadsChangesNoFigure) {
  Parameters parameters{.nodes = 50,
                        .hostile = 0.3,
                        .behaviour = "drop,lie,withhold,pollute,eclipse,claim",
                        .churn = 1,
                        .hours = 0.3,
                        .lookups = 40,
                        .absent = 0.1,
                        .threads = 1};
  const nlohmann::json alone = FiguresOf(parameters);
  parameters.threads = 3;
  EXPECT_EQ(FiguresOf(parameters), alone);
}

TEST(ParametersTest, RefusesWhatItCannotSimulate) {
  const auto refused = [](const Parameters& parameters) {
    Parameters copy = parameters;
    return !copy.Complete().ok();
  };
  EXPECT_FALSE(refused({}));
  EXPECT_TRUE(refused({.nodes = 1}));
  EXPECT_TRUE(refused({.hostile = 1}));
  EXPECT_TRUE(refused({.hostile = -0.1}));
  EXPECT_TRUE(refused({.behaviour = "lie,sing"}));
  EXPECT_TRUE(refused({.churn = -1}));
  EXPECT_TRUE(refused({.hours = 1e9}));
  EXPECT_TRUE(refused({.lookups = 0}));
  EXPECT_TRUE(refused({.absent = 1.5}));
  EXPECT_TRUE(refused({.policy = "none"}));
  EXPECT_TRUE(refused({.paths = 0}));
  EXPECT_TRUE(refused({.puzzle_bits = 60}));
  EXPECT_TRUE(refused({.latency_ms = "50"}));
  EXPECT_TRUE(refused({.latency_ms = "50:5"}));
  EXPECT_TRUE(refused({.ttl = absl::Seconds(1)}));
}

TEST(PercentileTest, IsTheSmallestValueThatTheShareDoesNotExceed) {
  EXPECT_EQ(Percentile({}, 0.5), 0);
  EXPECT_EQ(Percentile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(Percentile({4, 3, 1, 2}, 0.5), 2);
  EXPECT_EQ(Percentile({4, 3, 1, 2}, 0.99), 4);
  EXPECT_EQ(Percentile({7}, 0.01), 7);
}

}  // namespace
}  // namespace dotagent::simulation
