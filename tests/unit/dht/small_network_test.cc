// Names in networks that every reader knows entirely, where he asks fewer nodes (verdict.h, "Small networks").
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/dht/dht.h"
#include "common/dht/testing/simulation.h"
#include "common/dht/verdict.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr ValueKind kRecord = ValueKind::kRecord;
constexpr size_t kNodes = 20;
const Id kBob = KeyOfName("bob.agent");

class SmallNetworkTest : public testing::Test {
 protected:
  SmallNetworkTest() {
    for (size_t i = 0; i < kNodes; ++i) simulation_.AddNode();
    simulation_.StartAll();
    simulation_.RunFor(absl::Minutes(1));
  }

  Item Publish() {
    Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation_.clock().Now());
    const auto put = simulation_.Put(0, kRecord, record);
    EXPECT_TRUE(put.ok()) << put.status();
    return record;
  }
  void Settle() { simulation_.RunFor(absl::Minutes(2)); }

  // The nearest nodes but the last of those that keep the record say that the name is another's, since long.
  void Capture(size_t count) {
    const Item hijack = SignedRecord(KeyFromSeed(2), "bob.agent", simulation_.clock().Now());
    const Value value = ValueTypes().Of(kRecord).Validate(hijack, simulation_.clock().Now()).value();
    const Receipt receipt{value.owner, DigestOf(hijack), kStart - absl::Hours(1000), std::string(64, 's')};
    std::vector<size_t> nearest = simulation_.NearestTo(kBob, count + 1);
    nearest.erase(nearest.begin() + kReplicationFactor - 1);
    for (const size_t node : nearest) {
      hostile_.push_back(node);
      simulation_.SetBehaviour(node, [=](const Request& request) -> std::optional<Response> {
        if (std::holds_alternative<FindValueCall>(request.call)) return Response{ValueAnswer{hijack, receipt, {}}};
        if (std::holds_alternative<PingCall>(request.call)) return Response{PingAnswer{}};
        return Response{NodesAnswer{}};
      });
    }
  }
  [[nodiscard]] bool IsHostile(size_t node) const {
    return std::find(hostile_.begin(), hostile_.end(), node) != hostile_.end();
  }

  Simulation simulation_{{.seed = 1, .start = kStart}};
  std::vector<size_t> hostile_;
};

TEST_F(SmallNetworkTest, AWitnessAsksEightAndOnceTheClaimIsSettledFive) {
  const Item record = Publish();
  const size_t reader = simulation_.NearestTo(kBob, kNodes)[kNodes - 2];
  const auto young = simulation_.Get(reader, kBob, kRecord);
  ASSERT_TRUE(young.ok()) << young.status();
  EXPECT_EQ(young->item, record);
  EXPECT_EQ(young->messages, 8);
  Settle();
  const auto settled = simulation_.Get(reader, kBob, kRecord);
  ASSERT_TRUE(settled.ok()) << settled.status();
  EXPECT_EQ(settled->item, record);
  EXPECT_EQ(settled->messages, 5);
}

TEST_F(SmallNetworkTest, AClientAsksMoreThanAreHostileEvenOfASettledName) {
  const size_t client = simulation_.AddNode({}, /*client=*/true);
  bool joined = false;
  simulation_.Start(client, {Simulation::AddressOf(0)}, [&](const absl::Status& status) { joined = status.ok(); });
  ASSERT_TRUE(simulation_.RunUntil([&] { return joined && simulation_.dht(client).known_nodes() == kNodes; },
                                   absl::Minutes(5)));
  const Item record = Publish();
  Settle();
  const auto got = simulation_.Get(client, kBob, kRecord);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->item, record);
  EXPECT_EQ(got->messages, 9) << "of 20";
}

TEST_F(SmallNetworkTest, AnAbsentNameIsNotFound) {
  const uint64_t before = simulation_.calls();
  const auto got = simulation_.Get(7, kBob, kRecord);
  EXPECT_LE(simulation_.calls() - before, 10) << "eight, and what else goes on";
  EXPECT_TRUE(absl::IsNotFound(got.status())) << got.status();
}

TEST_F(SmallNetworkTest, AHolderThatIsDeadIsPassedOver) {
  const Item record = Publish();
  Settle();
  simulation_.Kill(simulation_.NearestTo(kBob, 1)[0]);
  for (size_t i = 0; i < kNodes; ++i) {
    if (!simulation_.is_up(i)) continue;
    const auto got = simulation_.Get(i, kBob, kRecord);
    ASSERT_TRUE(got.ok()) << i << " " << got.status();
    EXPECT_EQ(got->item, record);
  }
}

// Seven of the nineteen others, and they are the nearest: the worst that 40 % can do, as long as one honest node has
// the record.
TEST_F(SmallNetworkTest, TwoFifthsThatAreHostileAndNearestStealNothing) {
  const Item record = Publish();
  Settle();
  Capture(7);
  for (size_t i = 0; i < kNodes; ++i) {
    if (IsHostile(i)) continue;
    const auto got = simulation_.Get(i, kBob, kRecord);
    ASSERT_TRUE(got.ok()) << i << " " << got.status();
    EXPECT_EQ(got->item, record) << i;
  }
}

TEST_F(SmallNetworkTest, NorFromThoseWhoDoNotKnowTheNameYet) {
  const Item record = Publish();
  Settle();
  Capture(7);
  const size_t client = simulation_.AddNode({}, /*client=*/true);
  bool joined = false;
  simulation_.Start(client, {Simulation::AddressOf(0)}, [&](const absl::Status& status) { joined = status.ok(); });
  ASSERT_TRUE(simulation_.RunUntil([&] { return joined && simulation_.dht(client).known_nodes() == kNodes; },
                                   absl::Minutes(5)));
  const auto got = simulation_.Get(client, kBob, kRecord);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->item, record) << "13 of 20 name the owner";
}

// Who has just come knows few nodes, and thinks that they are all.
TEST(LargeNetworkTest, ANewcomerWhoMeetsStrangersAsksAsManyAsInALargeNetwork) {
  Simulation simulation({.seed = 2, .start = kStart});
  for (size_t i = 0; i < 60; ++i) simulation.AddNode();
  simulation.StartAll();
  simulation.RunFor(absl::Minutes(1));
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation.clock().Now());
  ASSERT_TRUE(simulation.Put(0, kRecord, record).ok());
  const size_t newcomer = simulation.AddNode({}, /*client=*/true);
  for (const size_t known : simulation.NearestTo(Id(), 9)) {
    simulation.dht(newcomer).AddContact(simulation.contact(known));
  }
  ASSERT_TRUE(simulation.RunUntil([&] { return simulation.dht(newcomer).known_nodes() == 9; }, absl::Minutes(1)));
  const auto got = simulation.Get(newcomer, kBob, kRecord);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->item, record);
  EXPECT_GE(got->receipts.size(), kUnanimous);
}

}  // namespace
}  // namespace dotagent::dht
