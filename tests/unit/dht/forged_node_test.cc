// Nodes that are not what they say: ids that are not theirs, puzzles that they have not solved. None enters a table or
// is asked anything.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/dht/dht.h"
#include "common/dht/puzzle.h"
#include "common/dht/testing/simulation.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr PuzzleDifficulty kPuzzle{.static_bits = 4, .dynamic_bits = 6};

class PuzzledNetworkTest : public testing::Test {
 protected:
  PuzzledNetworkTest() {
    for (int i = 0; i < 10; ++i) AddNode(true, true);
    simulation_.StartAll();
    simulation_.RunFor(absl::Minutes(1));
    for (size_t i = 0; i < 10; ++i) EXPECT_EQ(simulation_.dht(i).known_nodes(), 9) << i;
  }

  size_t AddNode(bool solves_static, bool solves_dynamic) {
    DhtOptions options;
    options.puzzle = kPuzzle;
    do {
      options.self.key = *crypto::PublicKey::FromUncheckedBytes(simulation_.random().Bytes(crypto::kPublicKeySize));
    } while (SolvesStatic(options.self.key, kPuzzle.static_bits) != solves_static);
    const Id id = Id::OfNode(options.self.key);
    do {
      options.self.puzzle_solution = 1 + simulation_.random().Below(1'000'000'000);
    } while (SolvesDynamic(id, options.self.puzzle_solution, kPuzzle.dynamic_bits) != solves_dynamic);
    return simulation_.AddNode(options);
  }
  // Counts the calls that get to a node.
  std::shared_ptr<int> CountCallsTo(size_t node) {
    auto calls = std::make_shared<int>(0);
    simulation_.SetBehaviour(node, [calls](const Request&) -> std::optional<Response> {
      ++*calls;
      return Response{PingAnswer{}};
    });
    return calls;
  }

  Simulation simulation_{{.seed = 1, .start = kStart}};
};

TEST_F(PuzzledNetworkTest, WhoHasNotSolvedBothIsNotAskedAndEntersNoTable) {
  for (const auto& [solves_static, solves_dynamic] : {std::pair(false, true), std::pair(true, false)}) {
    const size_t cheat = AddNode(solves_static, solves_dynamic);
    const auto calls = CountCallsTo(cheat);
    simulation_.Start(cheat, {Simulation::AddressOf(0)}, [](const absl::Status&) {});
    for (size_t i = 0; i < 10; ++i) simulation_.dht(i).AddContact(simulation_.contact(cheat));
    simulation_.RunFor(absl::Minutes(5));
    EXPECT_EQ(*calls, 0);
    for (size_t i = 0; i < 10; ++i) EXPECT_EQ(simulation_.dht(i).known_nodes(), 9) << i;
  }
  const size_t honest = AddNode(true, true);
  const auto calls = CountCallsTo(honest);
  simulation_.dht(0).AddContact(simulation_.contact(honest));
  simulation_.RunFor(absl::Minutes(1));
  EXPECT_GT(*calls, 0) << "who has is";
}

TEST_F(PuzzledNetworkTest, NorIsOneOfWhomALiarTells) {
  const size_t cheat = AddNode(false, false);
  const auto calls = CountCallsTo(cheat);
  simulation_.SetBehaviour(1, [contact = simulation_.contact(cheat)](const Request& request) {
    if (std::holds_alternative<PingCall>(request.call)) return Response{PingAnswer{}};
    if (std::holds_alternative<FindValueCall>(request.call)) return Response{ValueAnswer{.nodes = {contact}}};
    return Response{NodesAnswer{{contact}}};
  });
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation_.clock().Now());
  EXPECT_TRUE(simulation_.Put(0, ValueKind::kRecord, record).ok());
  for (size_t i = 2; i < 10; ++i) {
    EXPECT_EQ(simulation_.Get(i, KeyOfName("bob.agent"), ValueKind::kRecord)->item, record);
  }
  EXPECT_EQ(*calls, 0);
}

TEST(ForgedIdTest, AnIdIsTheHashOfTheKeyWhateverANodeSays) {
  Simulation simulation({.seed = 1, .start = kStart});
  for (int i = 0; i < 3; ++i) simulation.AddNode();
  simulation.Start(0, {}, [](const absl::Status&) {});
  // Next to node 0, and just where a name is.
  Contact forged = simulation.contact(1);
  forged.id = simulation.contact(0).id;
  EXPECT_TRUE(std::holds_alternative<PingAnswer>(simulation.dht(0).Handle(forged.key, {forged, PingCall{}}).answer));
  forged = simulation.contact(2);
  forged.id = KeyOfName("bob.agent");
  simulation.dht(0).AddContact(forged);
  simulation.RunFor(absl::Minutes(1));
  std::set<Id> known;
  for (const Contact& contact : simulation.dht(0).Nearest(KeyOfName("bob.agent"), 10)) known.insert(contact.id);
  EXPECT_EQ(known, (std::set<Id>{Id::OfNode(simulation.contact(1).key), Id::OfNode(simulation.contact(2).key)}));
}

// Another's key at one's own address: who is dialled there cannot prove it.
TEST(ForgedIdTest, AKeyThatTheNodeDoesNotHoldGetsItNowhere) {
  Simulation simulation({.seed = 1, .start = kStart});
  for (int i = 0; i < 3; ++i) simulation.AddNode();
  simulation.Start(0, {}, [](const absl::Status&) {});
  Contact forged = simulation.contact(1);
  forged.addresses = simulation.contact(2).addresses;
  simulation.dht(0).AddContact(forged);
  simulation.RunFor(absl::Minutes(1));
  EXPECT_EQ(simulation.dht(0).known_nodes(), 0);
}

}  // namespace
}  // namespace dotagent::dht
