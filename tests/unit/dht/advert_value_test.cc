#include "common/dht/advert_value.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/capability/advert.h"
#include "common/crypto/hash.h"
#include "common/dht/relay_advert.h"
#include "common/identity/rotation.h"
#include "common/identity/statement.h"
#include "dotagent/dht/v1/dht.pb.h"
#include "dotagent/relay/v1/advert.pb.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr absl::string_view kRelayContext("dotagent relay advert v1\0", 25);

absl::StatusOr<Value> Check(ValueKind kind, const Item& item, absl::Time now = kStart) {
  return ValueTypes().Of(kind).Validate(item, now);
}

TEST(CapabilityValueTest, ImpliesItsKeyOwnerAndDates) {
  const crypto::SigningKey bob = KeyFromSeed(1);
  const auto value = Check(ValueKind::kCapabilityAdvert, SignedCapability(bob, "translate", kStart));
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->key.bytes(), crypto::Sha256("capability:translate"));
  EXPECT_EQ(value->owner.bytes(), identity::AgentId::FromFirstKey(bob.public_key()).bytes());
  EXPECT_EQ(value->signer, bob.public_key());
  EXPECT_EQ(value->timestamp, kStart);
  EXPECT_EQ(value->expires, kStart + absl::Hours(24));
  EXPECT_FALSE(value->withdrawn);
  EXPECT_TRUE(Check(ValueKind::kCapabilityAdvert, SignedCapability(bob, "translate", kStart, {}))->withdrawn);
}

TEST(CapabilityValueTest, RefusesWhatHasExpiredOrIsDamaged) {
  const Item item = SignedCapability(KeyFromSeed(1), "translate", kStart);
  EXPECT_EQ(ReasonOf(Check(ValueKind::kCapabilityAdvert, item, kStart + absl::Hours(24)).status()), reason::kStale);
  for (size_t i = 0; i < item.bytes.size(); ++i) {
    EXPECT_FALSE(Check(ValueKind::kCapabilityAdvert, Damaged(item, i)).ok()) << i;
  }
  EXPECT_FALSE(Check(ValueKind::kRelayAdvert, item).ok());
  EXPECT_EQ(ReasonOf(Check(ValueKind::kCapabilityAdvert, {std::string(1025, 'x'), ""}).status()), reason::kTooLarge);
}

TEST(CapabilityValueTest, NoOneAdvertisesForAnother) {
  const crypto::SigningKey mallory = KeyFromSeed(2);
  const capability::AdvertFields fields{.agent = identity::AgentId::FromFirstKey(KeyFromSeed(1).public_key()),
                                        .agent_name = "bob.agent",
                                        .capability = "translate",
                                        .versions = {"1.0.0"}};
  const Item item{capability::SignCapabilityAdvert(mallory, fields, kStart).value(), ""};
  EXPECT_EQ(ReasonOf(Check(ValueKind::kCapabilityAdvert, item).status()), reason::kKeyMismatch);
}

TEST(CapabilityValueTest, AKeyThatTheAgentRotatedToCarriesTheChain) {
  const crypto::SigningKey first = KeyFromSeed(1);
  const crypto::SigningKey second = KeyFromSeed(2);
  std::vector<std::string> chain = {identity::MakeInception(first, second.public_key(), kStart).value()};
  const auto verified = identity::VerifyRotationChain(chain, kStart);
  chain.push_back(identity::MakeRotation(*verified, first, second, KeyFromSeed(3).public_key(), kStart).value());
  const capability::AdvertFields fields{.agent = identity::AgentId::FromFirstKey(first.public_key()),
                                        .agent_name = "bob.agent",
                                        .capability = "translate",
                                        .versions = {"1.0.0"}};
  Item item{capability::SignCapabilityAdvert(second, fields, kStart).value(), ""};
  EXPECT_EQ(ReasonOf(Check(ValueKind::kCapabilityAdvert, item).status()), reason::kKeyMismatch);
  v1::Proof proof;
  proof.set_rotation_chain(identity::EncodeRotationChain(chain));
  item.proof = proof.SerializeAsString();
  const auto value = Check(ValueKind::kCapabilityAdvert, item);
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->owner.bytes(), fields.agent.bytes());
  EXPECT_EQ(value->signer, second.public_key());

  const Item by_retired{capability::SignCapabilityAdvert(first, fields, kStart).value(), item.proof};
  EXPECT_EQ(ReasonOf(Check(ValueKind::kCapabilityAdvert, by_retired).status()), reason::kKeyMismatch);
  proof.set_name_certificate("anything");
  item.proof = proof.SerializeAsString();
  EXPECT_EQ(ReasonOf(Check(ValueKind::kCapabilityAdvert, item).status()), reason::kBadStatement);
  item.proof = std::string("\x0a\x00", 2);
  EXPECT_EQ(ReasonOf(Check(ValueKind::kCapabilityAdvert, item).status()), reason::kBadStatement) << "not as written";
}

TEST(AdvertValueTest, TheNewestStaysInWhateverOrderTheyCome) {
  const CapabilityValue type;
  const Value older = CapabilityOf(KeyFromSeed(1), "translate", kStart);
  const Value newer = CapabilityOf(KeyFromSeed(1), "translate", kStart + absl::Seconds(1));
  EXPECT_TRUE(*type.Replaces(older, newer));
  EXPECT_EQ(ReasonOf(type.Replaces(newer, older).status()), reason::kSuperseded);
  Value other_proof = older;
  other_proof.item.proof = "x";
  EXPECT_FALSE(*type.Replaces(older, other_proof));
  const Value same_instant = CapabilityOf(KeyFromSeed(1), "translate", kStart, absl::Hours(1));
  EXPECT_NE(type.Replaces(older, same_instant).ok(), type.Replaces(same_instant, older).ok());
}

class RelayValueTest : public testing::Test {
 protected:
  // The reason for which a well signed advert is refused once `spoil` has changed it.
  std::string Refusal(const std::function<void(relay::v1::RelayAdvert&)>& spoil,
                      absl::string_view context = kRelayContext) const {
    relay::v1::RelayAdvert advert;
    EXPECT_TRUE(advert.ParseFromString(identity::ParseStatement(SignedRelay(key_, kStart).bytes)->payload()));
    spoil(advert);
    const std::string bytes =
        identity::SignStatement(key_, context, advert.SerializeAsString()).value().SerializeAsString();
    return ReasonOf(Check(ValueKind::kRelayAdvert, {bytes, ""}).status());
  }
  crypto::SigningKey key_ = KeyFromSeed(1);
};

TEST_F(RelayValueTest, LiesInItsShard) {
  const auto value = Check(ValueKind::kRelayAdvert, SignedRelay(key_, kStart));
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->owner, Id::OfNode(key_.public_key()));
  EXPECT_EQ(value->key, RelayShardKey(RelayShard(key_.public_key())));
  EXPECT_EQ(RelayShardKey(5).bytes(), crypto::Sha256("relay:\x05"));
  EXPECT_EQ(value->expires, kStart + absl::Hours(6));
  const auto advert = VerifyRelayAdvert(value->item.bytes, kStart);
  EXPECT_EQ(advert->addresses, (std::vector<std::string>{"/ip4/192.0.2.9/tcp/4001"}));
  EXPECT_EQ(advert->max_circuits, 100);
  EXPECT_EQ(advert->load_permille, 250);
  std::vector<int> shards(kRelayShards);
  for (uint64_t seed = 0; seed < 320; ++seed) ++shards.at(RelayShard(KeyFromSeed(seed).public_key()));
  for (const int count : shards) EXPECT_GT(count, 5) << "the shards are used alike";
}

TEST_F(RelayValueTest, EachBrokenFieldHasItsReason) {
  using A = relay::v1::RelayAdvert;
  EXPECT_EQ(Refusal([](A&) {}), "");
  EXPECT_EQ(Refusal([](A& a) { a.set_addresses(0, "nonsense"); }), reason::kBadAddress);
  EXPECT_EQ(Refusal([](A& a) { a.set_addresses(0, absl::StrCat("/dns/", std::string(130, 'a'), "/tcp/1")); }),
            reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.set_addresses(0, "/ip4/192.0.2.9/tcp/4001/p2p/12D3KooW"); }), reason::kBadAddress);
  EXPECT_EQ(Refusal([](A& a) {
              for (int i = 0; i < 8; ++i) a.add_addresses("/ip4/192.0.2.9/tcp/4001");
            }),
            reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.set_load_permille(1001); }), reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.set_signed_at_ms(0); }), reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.set_signed_at_ms(absl::ToUnixMillis(kStart + absl::Minutes(6))); }),
            reason::kFutureDated);
  EXPECT_EQ(Refusal([](A& a) { a.set_expires_at_ms(a.expires_at_ms() + 1); }), reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) { a.set_expires_at_ms(a.signed_at_ms() - 1); }), reason::kBadStatement);
  EXPECT_EQ(Refusal([](A& a) {
              for (int i = 0; i < 7; ++i) a.add_addresses(absl::StrCat("/dns/", std::string(110, 'a'), "/tcp/", i + 1));
              for (int i = 0; i < 3; ++i) a.add_addresses(absl::StrCat("/dns/", std::string(110, 'a'), "/tcp/", i + 1));
            }),
            reason::kTooLarge);
  EXPECT_EQ(Refusal([](A&) {}, absl::string_view("dotagent capability advert v1\0", 30)), reason::kBadSignature);
  EXPECT_EQ(Refusal([](A& a) { A::GetReflection()->MutableUnknownFields(&a)->AddVarint(9, 1); }),
            reason::kBadStatement);
}

TEST_F(RelayValueTest, RefusesWhatHasExpiredIsDamagedOrCarriesAProof) {
  Item item = SignedRelay(key_, kStart);
  EXPECT_EQ(ReasonOf(Check(ValueKind::kRelayAdvert, item, kStart + absl::Hours(6)).status()), reason::kStale);
  for (size_t i = 0; i < item.bytes.size(); ++i) {
    EXPECT_FALSE(Check(ValueKind::kRelayAdvert, Damaged(item, i)).ok()) << i;
  }
  item.proof = "x";
  EXPECT_EQ(ReasonOf(Check(ValueKind::kRelayAdvert, item).status()), reason::kBadStatement);
}

TEST_F(RelayValueTest, WithoutAddressesItIsWithdrawn) {
  const Item item{SignRelayAdvert(key_, {}, kStart).value(), ""};
  EXPECT_TRUE(Check(ValueKind::kRelayAdvert, item)->withdrawn);
}

}  // namespace
}  // namespace dotagent::dht
