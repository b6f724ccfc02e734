// Nodes that are found while a network runs.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/dht/testing/simulation.h"

namespace dotagent::dht {
namespace {

TEST(AddAddressTest, TwoNetworksThatStartedApartBecomeOne) {
  constexpr size_t kEach = 4;
  Simulation simulation({.seed = 5});
  for (size_t i = 0; i < 2 * kEach; ++i) simulation.AddNode();
  size_t joined = 0;
  for (size_t i = 0; i < 2 * kEach; ++i) {
    const size_t first = i < kEach ? 0 : kEach;
    std::vector<std::string> bootstrap;
    if (i != first) bootstrap.push_back(Simulation::AddressOf(first));
    simulation.Start(i, bootstrap, [&](const absl::Status& status) { joined += status.ok() ? 1 : 0; });
  }
  ASSERT_TRUE(simulation.RunUntil([&] { return joined == 2 * kEach; }, absl::Minutes(1)));
  simulation.RunFor(absl::Minutes(1));
  ASSERT_EQ(simulation.dht(0).known_nodes(), kEach - 1);

  simulation.dht(1).AddAddress(Simulation::AddressOf(kEach + 1));
  const auto knows_all = [&](size_t node) { return simulation.dht(node).known_nodes() == 2 * kEach - 1; };
  EXPECT_TRUE(simulation.RunUntil([&] { return knows_all(1); }, absl::Minutes(1)));
  // The others hear of it from their neighbours.
  for (size_t i = 0; i < 2 * kEach; ++i) {
    EXPECT_TRUE(simulation.RunUntil([&] { return knows_all(i); }, absl::Hours(3))) << i;
  }
}

TEST(AddAddressTest, ItselfAndNobodyAreNotAdded) {
  Simulation simulation({.seed = 6});
  simulation.AddNode();
  simulation.Start(0, {}, [](const absl::Status&) {});
  simulation.dht(0).AddAddress(Simulation::AddressOf(0));
  simulation.dht(0).AddAddress("/ip4/192.0.2.99/tcp/1");
  simulation.RunFor(absl::Minutes(1));
  EXPECT_EQ(simulation.dht(0).known_nodes(), 0U);
}

}  // namespace
}  // namespace dotagent::dht
