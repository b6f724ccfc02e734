// A name that is someone's is refused to a second key everywhere: at every node, while two race for it, and to those
// who come late with an id made to sit next to the name; until its owner has let it lapse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/dht/claim_store.h"
#include "common/dht/dht.h"
#include "common/dht/testing/simulation.h"
#include "common/identity/agent_id.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr ValueKind kRecord = ValueKind::kRecord;
const Id kBob = KeyOfName("bob.agent");

std::unique_ptr<Simulation> MakeNetwork(size_t nodes, uint64_t seed = 1) {
  auto simulation = std::make_unique<Simulation>(SimulationOptions{.seed = seed, .start = kStart});
  for (size_t i = 0; i < nodes; ++i) simulation->AddNode();
  simulation->StartAll();
  simulation->RunFor(absl::Minutes(1));
  return simulation;
}

Id AgentOf(const crypto::Signer& key) {
  return *Id::FromBytes(identity::AgentId::FromFirstKey(key.public_key()).bytes());
}

absl::Status PutFor(Simulation& simulation, size_t node, const crypto::Signer& key) {
  return simulation.Put(node, kRecord, SignedRecord(key, "bob.agent", simulation.clock().Now())).status();
}

// A key whose node is nearer to bob.agent than every node of `simulation`.
crypto::PublicKey KeyNextToBob(const Simulation& simulation, Random& random) {
  const Id nearest = simulation.contact(simulation.NearestTo(kBob, 1)[0]).id.DistanceTo(kBob);
  while (true) {
    const auto key = crypto::PublicKey::FromUncheckedBytes(random.Bytes(crypto::kPublicKeySize));
    if (Id::OfNode(*key).DistanceTo(kBob) < nearest) return *key;
  }
}

TEST(SecondOwnerTest, EveryNodeRefusesASecondKey) {
  const auto simulation = MakeNetwork(50);
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  ASSERT_TRUE(simulation->Put(7, kRecord, record).ok());
  for (size_t i = 0; i < simulation->size(); ++i) {
    const absl::Status taken = PutFor(*simulation, i, KeyFromSeed(2));
    EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists) << i << " " << taken;
    EXPECT_EQ(ReasonOf(taken), reason::kNameTaken) << i;
    const auto got = simulation->Get(i, kBob, kRecord);
    ASSERT_TRUE(got.ok()) << i << " " << got.status();
    EXPECT_EQ(got->item, record);
  }
}

// Two register through different nodes, the second `head_start` after the first.
class Race : public testing::TestWithParam<std::pair<uint64_t, int>> {};

TEST_P(Race, HasOneWinnerAtEveryNodeAndNoOneElse) {
  const auto [seed, head_start] = GetParam();
  const auto simulation = MakeNetwork(40, seed);
  const crypto::SigningKey keys[] = {KeyFromSeed(1), KeyFromSeed(2)};
  std::optional<absl::Status> outcomes[2];
  for (size_t i = 0; i < 2; ++i) {
    simulation->dht(10 + i).Put(kRecord, SignedRecord(keys[i], "bob.agent", simulation->clock().Now()),
                                [&, i](const absl::StatusOr<PutResult>& put) { outcomes[i] = put.status(); });
    simulation->RunFor(absl::Milliseconds(head_start));
  }
  ASSERT_TRUE(simulation->RunUntil([&] { return outcomes[0] && outcomes[1]; }, absl::Minutes(1)));
  for (const auto& outcome : outcomes) {
    if (!outcome->ok()) {
      EXPECT_THAT(ReasonOf(*outcome), testing::AnyOf(reason::kConflict, reason::kNameTaken)) << *outcome;
    }
  }
  EXPECT_FALSE(outcomes[0]->ok() && outcomes[1]->ok());
  // While they race, and no one knows yet who wins, a third does not.
  const crypto::SigningKey third = KeyFromSeed(3);
  EXPECT_FALSE(PutFor(*simulation, 20, third).ok());

  simulation->RunFor(absl::Minutes(2));
  const auto found = simulation->Get(30, kBob, kRecord);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_TRUE(found->owner == AgentOf(keys[0]) || found->owner == AgentOf(keys[1]));
  const size_t winner = found->owner == AgentOf(keys[0]) ? 0 : 1;
  // Who was told that the name is his has it.
  EXPECT_FALSE(outcomes[1 - winner]->ok());
  for (size_t i = 0; i < simulation->size(); ++i) {
    const auto got = simulation->Get(i, kBob, kRecord);
    ASSERT_TRUE(got.ok()) << i << " " << got.status();
    EXPECT_EQ(got->owner, found->owner) << i;
    for (const crypto::SigningKey* other : {&keys[1 - winner], &third}) {
      EXPECT_EQ(ReasonOf(PutFor(*simulation, i, *other)), reason::kNameTaken) << i;
    }
  }
  EXPECT_TRUE(PutFor(*simulation, 5, keys[winner]).ok());
}

INSTANTIATE_TEST_SUITE_P(SeedsAndMilliseconds, Race,
                         testing::Values(std::pair(1, 0), std::pair(2, 0), std::pair(3, 0), std::pair(4, 20),
                                         std::pair(5, 60), std::pair(6, 100), std::pair(7, 150), std::pair(8, 200),
                                         std::pair(9, 300)));

// The thief makes keys until he has nodes nearer to the name than all others, and registers it there, through them and
// through everyone else.
TEST(SecondOwnerTest, ALatecomerWhoseIdIsNearestToTheNameDoesNotGetIt) {
  const auto simulation = MakeNetwork(60);
  const crypto::SigningKey thief = KeyFromSeed(2);
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  ASSERT_TRUE(simulation->Put(7, kRecord, record).ok());

  std::vector<size_t> latecomers;
  const Contact& caller = simulation->contact(1);
  for (int i = 0; i < 3; ++i) {
    DhtOptions options;
    options.self.key = KeyNextToBob(*simulation, simulation->random());
    const size_t node = simulation->AddNode(options);
    ASSERT_EQ(simulation->NearestTo(kBob, 1)[0], node);
    latecomers.push_back(node);
    // The thief is there before anyone can tell the node whose the name is.
    const Item hijack = SignedRecord(thief, "bob.agent", simulation->clock().Now());
    const Response taken = simulation->dht(node).Handle(caller.key, {caller, StoreCall{kBob, kRecord, hijack}});
    ASSERT_TRUE(std::holds_alternative<StoreAnswer>(taken.answer));
    simulation->Start(node, {Simulation::AddressOf(0)}, [](const absl::Status&) {});
  }
  // At once, and for good.
  for (const absl::Duration pause : {absl::Seconds(1), absl::Minutes(5), absl::Hours(2)}) {
    simulation->RunFor(pause);
    for (size_t i = 0; i < simulation->size(); ++i) {
      const auto got = simulation->Get(i, kBob, kRecord);
      ASSERT_TRUE(got.ok()) << i << " " << got.status();
      EXPECT_EQ(got->item, record) << i;
      EXPECT_EQ(ReasonOf(PutFor(*simulation, i, thief)), reason::kNameTaken) << i;
    }
  }
  // They are nodes like any other, and hold the name for its owner now.
  for (const size_t node : latecomers) EXPECT_EQ(simulation->dht(node).GetLocal(kBob, kRecord).value(), record);
}

TEST(SecondOwnerTest, ALatecomerThatLiesDoesNotGetItEither) {
  const auto simulation = MakeNetwork(60);
  const crypto::SigningKey thief = KeyFromSeed(2);
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  ASSERT_TRUE(simulation->Put(7, kRecord, record).ok());
  const Item hijack = SignedRecord(thief, "bob.agent", simulation->clock().Now());
  const Receipt receipt{AgentOf(thief), DigestOf(hijack), kStart - absl::Hours(1000), std::string(64, 's')};
  for (size_t i = 0; i < kReplicationFactor; ++i) {  // as many as hold a value
    DhtOptions options;
    options.self.key = KeyNextToBob(*simulation, simulation->random());
    const size_t node = simulation->AddNode(options);
    simulation->SetBehaviour(node, [hijack, receipt](const Request& request) -> std::optional<Response> {
      if (std::holds_alternative<FindValueCall>(request.call)) return Response{ValueAnswer{hijack, receipt, {}}};
      if (std::holds_alternative<StoreCall>(request.call)) return Response{StoreAnswer{receipt}};
      if (const auto* claims = std::get_if<FindClaimsCall>(&request.call)) {
        return Response{ClaimsAnswer{std::vector<std::optional<Receipt>>(claims->keys.size(), receipt)}};
      }
      if (std::holds_alternative<PingCall>(request.call)) return Response{PingAnswer{}};
      return Response{NodesAnswer{}};
    });
    simulation->Start(node, {Simulation::AddressOf(0)}, [](const absl::Status&) {});
  }
  simulation->RunFor(absl::Hours(2));
  for (size_t i = 0; i < 60; ++i) {
    const auto got = simulation->Get(i, kBob, kRecord);
    ASSERT_TRUE(got.ok()) << i << " " << got.status();
    EXPECT_EQ(got->item, record) << i;
    EXPECT_EQ(ReasonOf(PutFor(*simulation, i, thief)), reason::kNameTaken) << i;
  }
}

// Months of a network's life would be long to run: all clocks are set forward together.
class LapseTest : public testing::Test {
 protected:
  absl::Time now() { return simulation_->clock().Now() + offset_; }
  void MoveTo(absl::Time time) {
    offset_ += time - now();
    for (size_t i = 0; i < simulation_->size(); ++i) simulation_->SetClockOffset(i, offset_);
  }
  absl::Status Register(size_t node, const crypto::Signer& key) {
    return simulation_->Put(node, kRecord, SignedRecord(key, "bob.agent", now())).status();
  }

  std::unique_ptr<Simulation> simulation_ = MakeNetwork(40);
  absl::Duration offset_;
  const crypto::SigningKey bob_ = KeyFromSeed(1);
  const crypto::SigningKey other_ = KeyFromSeed(2);
};

TEST_F(LapseTest, ANameLapses30DaysAfterItWasLastRefreshed) {
  ASSERT_TRUE(Register(1, bob_).ok());
  simulation_->RunFor(absl::Hours(2));
  MoveTo(now() + absl::Hours(24 * 10));
  const absl::Time refreshed = now();
  ASSERT_TRUE(Register(2, bob_).ok());

  MoveTo(refreshed + absl::Hours(24 * 20));
  simulation_->RunFor(absl::Hours(3));  // its record has long run out, and is swept
  for (size_t i = 0; i < simulation_->size(); ++i) EXPECT_EQ(simulation_->dht(i).stored_values(), 0) << i;
  MoveTo(refreshed + kClaimLifetime - absl::Hours(1));
  for (size_t i = 0; i < simulation_->size(); ++i) {
    EXPECT_EQ(ReasonOf(Register(i, other_)), reason::kNameTaken) << i;
    EXPECT_TRUE(absl::IsNotFound(simulation_->Get(i, kBob, kRecord).status()));
  }
  MoveTo(refreshed + kClaimLifetime);
  const absl::Status free = Register(3, other_);
  ASSERT_TRUE(free.ok()) << free;
  for (size_t i = 0; i < simulation_->size(); ++i) {
    EXPECT_EQ(simulation_->Get(i, kBob, kRecord)->owner, AgentOf(other_)) << i;
    EXPECT_EQ(ReasonOf(Register(i, bob_)), reason::kNameTaken) << i;
  }
}

}  // namespace
}  // namespace dotagent::dht
