// Bootstrap in a network of simulated nodes.
#include "common/dht/bootstrap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/dht/testing/simulation.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr ValueKind kRecord = ValueKind::kRecord;

std::unique_ptr<Simulation> MakeNetwork(size_t nodes, uint64_t seed) {
  auto simulation = std::make_unique<Simulation>(SimulationOptions{.seed = seed, .start = kStart});
  for (size_t i = 0; i < nodes; ++i) simulation->AddNode();
  simulation->StartAll();
  simulation->RunFor(absl::Minutes(2));
  return simulation;
}

class Partition : public testing::TestWithParam<uint64_t> {
 protected:
  static constexpr size_t kNodes = 60;
  static constexpr int kNames = 10;

  // Of the half that the node is in, even or odd.
  static std::string NameOf(size_t half, int number) { return absl::StrCat("a", number, "-of-", half, ".agent"); }

  void RegisterInEachHalf() {
    for (size_t half = 0; half < 2; ++half) {
      for (int i = 0; i < kNames; ++i) {
        const Item record = SignedRecord(KeyFromSeed(1), NameOf(half, i), simulation_->clock().Now());
        const auto put = simulation_->Put(half + 2 * static_cast<size_t>(i), kRecord, record);
        ASSERT_TRUE(put.ok()) << put.status();
      }
    }
  }

  // Names that a node of the other half does not find.
  int Unresolved() {
    int unresolved = 0;
    for (size_t half = 0; half < 2; ++half) {
      for (int i = 0; i < kNames; ++i) {
        const size_t reader = (kNodes - 2) - 2 * static_cast<size_t>(i) + (1 - half);
        unresolved += simulation_->Get(reader, KeyOfName(NameOf(half, i)), kRecord).ok() ? 0 : 1;
      }
    }
    return unresolved;
  }

  std::unique_ptr<Simulation> simulation_ = MakeNetwork(kNodes, GetParam());
};

TEST_P(Partition, OfAnHourHealsByItself) {
  simulation_->SetReachable([](size_t from, size_t to) { return from % 2 == to % 2; });
  // Half an hour, and each half has dropped all of the other.
  simulation_->RunFor(absl::Minutes(30));
  RegisterInEachHalf();
  // What a node remembers of the other half outlives it.
  simulation_->Kill(17);
  simulation_->Restart(17, {}, [](const absl::Status&) {});
  simulation_->RunFor(absl::Minutes(30));
  ASSERT_EQ(Unresolved(), 2 * kNames) << "the halves are apart";

  simulation_->SetReachable(nullptr);
  simulation_->RunFor(absl::Minutes(10));
  EXPECT_EQ(Unresolved(), 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Partition, testing::Values(1, 2, 3));

// The attacker: a bootstrap node that answers at once, with one other liar only.
TEST(BootstrapTest, ALiarAmongTheBootstrapNodesDoesNotKeepANewcomerFromTheNetwork) {
  for (const bool alone : {false, true}) {
    const auto simulation = MakeNetwork(60, 7);
    const size_t liar = 1;
    const size_t accomplice = 2;
    simulation->SetBehaviour(liar, [&](const Request& request) -> std::optional<Response> {
      if (std::holds_alternative<FindNodeCall>(request.call)) {
        return Response{NodesAnswer{{simulation->contact(accomplice)}}};
      }
      return Response{PingAnswer{}};
    });
    simulation->SetBehaviour(accomplice, [](const Request& request) -> std::optional<Response> {
      if (std::holds_alternative<FindNodeCall>(request.call)) return Response{NodesAnswer{}};
      return Response{PingAnswer{}};
    });
    const size_t newcomer = simulation->AddNode();
    std::vector<std::string> addresses = {Simulation::AddressOf(liar)};
    if (!alone) {
      addresses.push_back(Simulation::AddressOf(30));
      addresses.push_back(Simulation::AddressOf(31));
    }
    bool joined = false;
    simulation->Start(newcomer, addresses, [&](const absl::Status&) { joined = true; });
    ASSERT_TRUE(simulation->RunUntil([&] { return joined; }, absl::Minutes(1)));
    if (alone) {
      EXPECT_EQ(simulation->dht(newcomer).known_nodes(), 2) << "or else this test shows nothing";
    } else {
      EXPECT_GT(simulation->dht(newcomer).known_nodes(), 20);
    }
  }
}

// The first to answer is not the only one that is heard, and a dead one is not waited for until its call times out.
TEST(BootstrapTest, JoinsASecondAfterTheFirstAnswerThoughAnotherNeverAnswers) {
  const auto simulation = MakeNetwork(30, 8);
  simulation->Kill(5);
  const size_t newcomer = simulation->AddNode();
  const absl::Duration before = simulation->clock().Elapsed();
  bool joined = false;
  simulation->Start(newcomer, {Simulation::AddressOf(5), Simulation::AddressOf(6)},
                    [&](const absl::Status& status) { joined = status.ok(); });
  ASSERT_TRUE(simulation->RunUntil([&] { return joined; }, absl::Minutes(1)));
  EXPECT_LT(simulation->clock().Elapsed() - before, absl::Milliseconds(1900)) << "a call times out after 2 s";
}

TEST(BootstrapTest, LooksAroundOnceWhereNothingIsNew) {
  const auto simulation = MakeNetwork(60, 1);
  const size_t newcomer = simulation->AddNode();
  bool joined = false;
  simulation->Start(newcomer, {Simulation::AddressOf(0)}, [&](const absl::Status& status) { joined = status.ok(); });
  simulation->RunFor(absl::Seconds(12));
  ASSERT_TRUE(joined);
  EXPECT_GE(simulation->dht(newcomer).known_nodes(), kBucketSize);
  const uint64_t before = simulation->calls();
  simulation->RunFor(absl::Seconds(40));
  EXPECT_LT(simulation->calls() - before, kBucketSize) << "less than another look";
}

// What a newcomer looks up, and how many nodes it asks about each.
std::map<Id, size_t> AskedByNewcomer(Simulation& simulation, absl::Duration time) {
  const size_t newcomer = simulation.AddNode();
  std::map<Id, size_t> asked;
  simulation.Observe([&](const MessageSeen& message) {
    const auto* find = std::get_if<FindNodeCall>(&message.request.call);
    if (find != nullptr && !message.is_answer && message.caller == newcomer) ++asked[find->target];
  });
  simulation.Start(newcomer, {Simulation::AddressOf(0), Simulation::AddressOf(1)}, [](const absl::Status&) {});
  simulation.RunFor(time);
  simulation.Observe(nullptr);
  return asked;
}

TEST(BootstrapTest, ANewcomerLooksUpItsNeighbourhoodOnceAndMeasuresTheNetworkTwice) {
  const auto simulation = MakeNetwork(200, 3);
  const std::map<Id, size_t> asked = AskedByNewcomer(*simulation, absl::Minutes(3));
  const Id self = simulation->contact(simulation->size() - 1).id;
  ASSERT_TRUE(asked.contains(self));
  std::vector<size_t> sizing;
  for (const auto& [target, calls] : asked) {
    if (target == self) continue;
    // Of 200 nodes, 12 share four bits with it.
    EXPECT_LT(self.CommonPrefix(target), 5) << "our own neighbours, whom the lookup of our own id has asked";
    if (calls >= kBucketSize) sizing.push_back(calls);
  }
  EXPECT_THAT(sizing, testing::SizeIs(testing::AllOf(testing::Ge(1), testing::Le(2))));
}

TEST(BootstrapTest, NodesThatStartInTheSameMomentFindOneAnother) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Simulation simulation({.seed = seed, .start = kStart});
    for (int i = 0; i < 15; ++i) simulation.AddNode();
    simulation.StartAll();
    EXPECT_TRUE(simulation.RunUntil(
        [&] {
          for (size_t i = 0; i < simulation.size(); ++i) {
            if (simulation.dht(i).known_nodes() < simulation.size() - 1) return false;
          }
          return true;
        },
        absl::Seconds(30)))
        << seed;
  }
}

}  // namespace
}  // namespace dotagent::dht
