// Whose a name is, over whole networks: both policies, races, rotation, thieves among the nodes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/dht/dht.h"
#include "common/dht/receipt.h"
#include "common/dht/record_value.h"
#include "common/dht/testing/simulation.h"
#include "common/dht/verdict.h"
#include "common/dht/wire.h"
#include "common/identity/agent_certificate.h"
#include "common/identity/rotation.h"
#include "dotagent/dht/v1/dht.pb.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr ValueKind kRecord = ValueKind::kRecord;
const Id kBob = KeyOfName("bob.agent");

std::unique_ptr<Simulation> MakeNetwork(size_t nodes, const NamePolicy& policy = {}) {
  auto simulation = std::make_unique<Simulation>(SimulationOptions{.seed = 1, .start = kStart});
  for (size_t i = 0; i < nodes; ++i) simulation->AddNode(DhtOptions{.values = {.policy = policy}});
  simulation->StartAll();
  simulation->RunFor(absl::Minutes(1));
  return simulation;
}

Id AgentOf(const crypto::Signer& key) {
  return *Id::FromBytes(identity::AgentId::FromFirstKey(key.public_key()).bytes());
}

// What a thief's node says to every question about the name: that it is the thief's, since long.
Behaviour ClaimFor(const Item& record, const crypto::Signer& thief) {
  const Receipt receipt{AgentOf(thief), DigestOf(record), kStart - absl::Hours(1000), std::string(64, 's')};
  return [record, receipt](const Request& request) -> std::optional<Response> {
    if (std::holds_alternative<FindValueCall>(request.call)) return Response{ValueAnswer{record, receipt, {}}};
    if (std::holds_alternative<StoreCall>(request.call)) return Response{StoreAnswer{receipt}};
    if (const auto* claims = std::get_if<FindClaimsCall>(&request.call)) {
      return Response{ClaimsAnswer{std::vector<std::optional<Receipt>>(claims->keys.size(), receipt)}};
    }
    if (std::holds_alternative<PingCall>(request.call)) return Response{PingAnswer{}};
    return Response{NodesAnswer{}};
  };
}

TEST(FirstClaimTest, ReadersGetReceiptsThatTheWitnessesSigned) {
  const auto simulation = MakeNetwork(60);
  const crypto::SigningKey bob = KeyFromSeed(1);
  const auto put = simulation->Put(3, kRecord, SignedRecord(bob, "bob.agent", simulation->clock().Now()));
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_GE(put->witnesses, Threshold(kWitnesses));
  const auto got = simulation->Get(7, kBob, kRecord);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->owner, AgentOf(bob));
  EXPECT_GE(got->receipts.size(), kUnanimous);
  EXPECT_GE(got->agreeing_paths, 1);
  for (const WitnessReceipt& witness : got->receipts) {
    std::optional<crypto::PublicKey> key;
    for (size_t i = 0; i < simulation->size(); ++i) {
      if (simulation->contact(i).id == witness.node) key = simulation->contact(i).key;
    }
    ASSERT_TRUE(key);
    EXPECT_TRUE(VerifyReceipt(*key, kRecord, kBob, witness.receipt).ok());
  }
}

TEST(FirstClaimTest, AFifthOfAllNodesThatClaimEveryNameGetNone) {
  const auto simulation = MakeNetwork(60);
  const crypto::SigningKey thief = KeyFromSeed(2);
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  ASSERT_TRUE(simulation->Put(59, kRecord, record).ok());
  const Item hijack = SignedRecord(thief, "bob.agent", simulation->clock().Now() + absl::Minutes(1));
  for (size_t i = 0; i < 12; ++i) simulation->SetBehaviour(i, ClaimFor(hijack, thief));
  for (size_t i = 12; i < 60; ++i) {
    const auto got = simulation->Get(i, kBob, kRecord);
    if (got.ok()) {
      EXPECT_EQ(got->item, record) << i;
    } else {
      EXPECT_EQ(ReasonOf(got.status()), reason::kConflict) << i << " " << got.status();
    }
    const auto taken = simulation->Put(i, kRecord, hijack);
    EXPECT_FALSE(taken.ok()) << i;
  }
}

TEST(FirstClaimTest, OfTwoWhoRaceAtMostOneWinsAndTheNameIsDecidedSoon) {
  const auto simulation = MakeNetwork(60);
  const crypto::SigningKey keys[] = {KeyFromSeed(1), KeyFromSeed(2)};
  std::vector<absl::Status> outcomes;
  for (size_t i = 0; i < 2; ++i) {
    simulation->dht(10 + i).Put(kRecord, SignedRecord(keys[i], "bob.agent", simulation->clock().Now()),
                                [&](const absl::StatusOr<PutResult>& put) { outcomes.push_back(put.status()); });
  }
  ASSERT_TRUE(simulation->RunUntil([&] { return outcomes.size() == 2; }, absl::Minutes(1)));
  EXPECT_FALSE(outcomes[0].ok() && outcomes[1].ok());
  for (const absl::Status& outcome : outcomes) {
    if (!outcome.ok()) {
      EXPECT_THAT(ReasonOf(outcome), testing::AnyOf(reason::kConflict, reason::kNameTaken)) << outcome;
    }
  }

  simulation->RunFor(absl::Minutes(5));
  int owners = 0;
  for (size_t i = 0; i < 2; ++i) {
    const auto again = simulation->Put(20 + i, kRecord, SignedRecord(keys[i], "bob.agent", simulation->clock().Now()));
    owners += again.ok() ? 1 : 0;
    if (again.ok()) continue;
    EXPECT_EQ(ReasonOf(again.status()), reason::kNameTaken) << again.status();
  }
  EXPECT_EQ(owners, 1);
  const auto first = simulation->Get(30, kBob, kRecord);
  ASSERT_TRUE(first.ok()) << first.status();
  for (size_t i = 31; i < 40; ++i) EXPECT_EQ(simulation->Get(i, kBob, kRecord)->owner, first->owner);
}

// A node that comes near the name is reached by the thief before anyone tells it whose the name is.
TEST(FirstClaimTest, ANewcomerThatTheThiefReachesFirstLearnsBetter) {
  const auto simulation = MakeNetwork(60);
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", simulation->clock().Now());
  ASSERT_TRUE(simulation->Put(0, kRecord, record).ok());
  simulation->RunFor(absl::Minutes(2));
  const Item hijack = SignedRecord(KeyFromSeed(2), "bob.agent", simulation->clock().Now());
  const size_t newcomer = simulation->AddNode();
  const Contact& caller = simulation->contact(1);
  const Response taken = simulation->dht(newcomer).Handle(caller.key, {caller, StoreCall{kBob, kRecord, hijack}});
  ASSERT_TRUE(std::holds_alternative<StoreAnswer>(taken.answer)) << "it cannot know yet";
  simulation->Start(newcomer, {Simulation::AddressOf(0)}, [](const absl::Status&) {});
  const auto believes = [&] {
    const Response answer = simulation->dht(newcomer).Handle(caller.key, {caller, FindValueCall{kBob, kRecord}});
    return std::get<ValueAnswer>(answer.answer).receipt->owner;
  };
  EXPECT_EQ(believes(), AgentOf(KeyFromSeed(2)));
  EXPECT_TRUE(simulation->RunUntil([&] { return believes() == AgentOf(KeyFromSeed(1)); }, absl::Minutes(5)));
}

TEST(FirstClaimTest, ARotatedKeyKeepsTheName) {
  const auto simulation = MakeNetwork(30);
  const crypto::SigningKey first = KeyFromSeed(1);
  const crypto::SigningKey second = KeyFromSeed(2);
  const absl::Time now = simulation->clock().Now();
  ASSERT_TRUE(simulation->Put(0, kRecord, SignedRecord(first, "bob.agent", now)).ok());

  std::vector<std::string> statements = {*identity::MakeInception(first, second.public_key(), now)};
  const auto inception = identity::VerifyRotationChain(statements, now);
  ASSERT_TRUE(inception.ok()) << inception.status();
  ASSERT_TRUE(simulation->Put(1, ValueKind::kRotation, {identity::EncodeRotationChain(statements), ""}).ok());
  statements.push_back(*identity::MakeRotation(*inception, first, second, KeyFromSeed(3).public_key(), now));
  const std::string chain = identity::EncodeRotationChain(statements);
  ASSERT_TRUE(simulation->Put(2, ValueKind::kRotation, {chain, ""}).ok());
  const Id chain_key = *Id::FromBytes(identity::RotationKey(inception->agent));
  EXPECT_EQ(simulation->Get(3, chain_key, ValueKind::kRotation)->item.bytes, chain);

  Item record = SignedRecord(second, "bob.agent", now + absl::Seconds(5));
  EXPECT_EQ(ReasonOf(simulation->Put(4, kRecord, record).status()), reason::kNameTaken) << "without the chain";
  v1::Proof proof;
  proof.set_rotation_chain(chain);
  record.proof = proof.SerializeAsString();
  const auto put = simulation->Put(5, kRecord, record);
  ASSERT_TRUE(put.ok()) << put.status();
  const auto got = simulation->Get(6, kBob, kRecord);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->item, record);
  EXPECT_EQ(got->owner, AgentOf(first));

  Item stranger = SignedRecord(KeyFromSeed(9), "bob.agent", now + absl::Seconds(9));
  stranger.proof = record.proof;
  EXPECT_EQ(ReasonOf(simulation->Put(7, kRecord, stranger).status()), reason::kKeyMismatch);
  stranger.proof = "garbage";
  EXPECT_EQ(ReasonOf(simulation->Put(7, kRecord, stranger).status()), reason::kBadStatement);
}

class RegistrarTest : public testing::Test {
 protected:
  Item Certified(const crypto::Signer& key, absl::string_view name, absl::Time from, const crypto::Signer& registrar) {
    const auto certificate = identity::IssueAgentCertificate(
        identity::CertificateProfile::kName, registrar,
        {key.public_key(), identity::AgentId::FromFirstKey(key.public_key()), std::string(name)},
        {"example.org", from, absl::Hours(24), std::string(8, 's')});
    EXPECT_TRUE(certificate.ok()) << certificate.status();
    v1::Proof proof;
    proof.set_name_certificate(*certificate);
    Item item = SignedRecord(key, "bob.agent", from + absl::Seconds(1));
    item.proof = proof.SerializeAsString();
    return item;
  }

  const crypto::SigningKey registrar_ = KeyFromSeed(70);
  const crypto::SigningKey bob_ = KeyFromSeed(1);
  const crypto::SigningKey thief_ = KeyFromSeed(2);
  std::unique_ptr<Simulation> simulation_ = MakeNetwork(40, {{registrar_.public_key()}});
};

TEST_F(RegistrarTest, ANameNeedsATrustedRegistrarsCertificate) {
  const absl::Time now = simulation_->clock().Now();
  EXPECT_EQ(ReasonOf(simulation_->Put(0, kRecord, SignedRecord(bob_, "bob.agent", now)).status()),
            reason::kNotCertified);
  EXPECT_EQ(ReasonOf(simulation_->Put(0, kRecord, Certified(bob_, "carol.agent", now, registrar_)).status()),
            reason::kNotCertified);
  EXPECT_EQ(ReasonOf(simulation_->Put(0, kRecord, Certified(bob_, "bob.agent", now, thief_)).status()),
            reason::kKeyMismatch);
  const Item record = Certified(bob_, "bob.agent", now, registrar_);
  const auto put = simulation_->Put(0, kRecord, record);
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(simulation_->Get(9, kBob, kRecord)->item, record);
}

TEST_F(RegistrarTest, ThievesWithoutACertificateAreNotEvenAConflict) {
  const absl::Time now = simulation_->clock().Now();
  const Item record = Certified(bob_, "bob.agent", now, registrar_);
  ASSERT_TRUE(simulation_->Put(39, kRecord, record).ok());
  const Item hijack = SignedRecord(thief_, "bob.agent", now + absl::Minutes(1));
  const std::vector<size_t> holders = simulation_->NearestTo(kBob, kReplicationFactor);
  for (size_t i = 0; i < 4; ++i) simulation_->SetBehaviour(holders[i], ClaimFor(hijack, thief_));
  for (size_t i = 0; i < 40; ++i) {
    const auto got = simulation_->Get(i, kBob, kRecord);
    ASSERT_TRUE(got.ok()) << i << " " << got.status();
    EXPECT_EQ(got->item, record);
  }
}

TEST_F(RegistrarTest, TheRegistrarCanGiveTheNameToAnother) {
  const absl::Time now = simulation_->clock().Now();
  ASSERT_TRUE(simulation_->Put(0, kRecord, Certified(bob_, "bob.agent", now, registrar_)).ok());
  const Item successor = Certified(thief_, "bob.agent", now + absl::Seconds(30), registrar_);
  simulation_->RunFor(absl::Minutes(1));
  ASSERT_TRUE(simulation_->Put(1, kRecord, successor).ok());
  EXPECT_EQ(simulation_->Get(2, kBob, kRecord)->item, successor);
  EXPECT_EQ(ReasonOf(simulation_->Put(3, kRecord, Certified(bob_, "bob.agent", now, registrar_)).status()),
            reason::kNameTaken);
}

TEST_F(RegistrarTest, AProofThatIsLargerThanWhatTravelsIsRefusedAtOnce) {
  Item record = Certified(bob_, "bob.agent", simulation_->clock().Now(), registrar_);
  const auto checked = simulation_->dht(0).Check(kRecord, record);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->owner, AgentOf(bob_));
  EXPECT_EQ(EncodeProof({.rotation_chain = {}, .name_certificate = {}}), "");
  record.proof = EncodeProof({.rotation_chain = std::string(kMaxProofSize, 'r'), .name_certificate = {}});
  EXPECT_EQ(ReasonOf(simulation_->dht(0).Check(kRecord, record).status()), reason::kTooLarge);
}

}  // namespace
}  // namespace dotagent::dht
