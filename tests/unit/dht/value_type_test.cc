#include "common/dht/value_type.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/dht/revocation_value.h"
#include "common/identity/agent_id.h"
#include "common/identity/revocation.h"
#include "common/identity/rotation.h"
#include "dotagent/dht/v1/dht.pb.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

TEST(ValueTypeTest, ARecordImpliesItsKeyOwnerAndDates) {
  const crypto::SigningKey bob = KeyFromSeed(1);
  const Value value = RecordOf(bob, "Bob.agent", kStart, 3600);
  EXPECT_EQ(value.key, KeyOfName("bob.agent"));
  EXPECT_EQ(value.owner.bytes(), identity::AgentId::FromFirstKey(bob.public_key()).bytes());
  EXPECT_EQ(value.signer, bob.public_key());
  EXPECT_EQ(value.timestamp, kStart);
  EXPECT_EQ(value.expires, kStart + absl::Hours(1));
}

TEST(ValueTypeTest, ARevocationImpliesItsKeyAndNeverExpires) {
  const crypto::SigningKey bob = KeyFromSeed(1);
  const Value value = RevocationOf(bob, kStart);
  EXPECT_EQ(value.key, RevocationValue::KeyFor(bob.public_key()));
  EXPECT_EQ(value.expires, absl::InfiniteFuture());
}

TEST(ValueTypeTest, ARegistrarRevokesWhereNamesAreItsToGive) {
  const crypto::SigningKey bob = KeyFromSeed(1);
  const crypto::SigningKey registrar = KeyFromSeed(2);
  const Item item{identity::SignRevocationOf(registrar, identity::AgentId::FromFirstKey(bob.public_key()),
                                             bob.public_key(), "abuse", kStart)
                      .value(),
                  ""};
  const ValueTypes trusting({.registrars = {registrar.public_key()}});
  const auto value = trusting.Of(ValueKind::kRevocation).Validate(item, kStart);
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->signer, bob.public_key());
  EXPECT_EQ(ReasonOf(ValueTypes().Of(ValueKind::kRevocation).Validate(item, kStart).status()), reason::kBadStatement);
}

TEST(ValueTypeTest, RefusesAValueUnderAnotherKey) {
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", kStart);
  EXPECT_TRUE(ValueTypes().ValidateUnder(KeyOfName("bob.agent"), ValueKind::kRecord, record, kStart).ok());
  EXPECT_FALSE(ValueTypes().ValidateUnder(KeyOfName("alice.agent"), ValueKind::kRecord, record, kStart).ok());
}

TEST(ValueTypeTest, RefusesAnExpiredRecord) {
  const Item record = SignedRecord(KeyFromSeed(1), "bob.agent", kStart, 60);
  const auto late = ValueTypes().Of(ValueKind::kRecord).Validate(record, kStart + absl::Seconds(60));
  EXPECT_EQ(ReasonOf(late.status()), reason::kStale);
}

// The identity of key 1, which has rotated to 2 and committed to 3; and the records of its keys.
class RotatedOwnerTest : public testing::Test {
 protected:
  Value Record(uint64_t seed, const std::vector<std::string>& chain, absl::Time signed_at) const {
    Item item = SignedRecord(KeyFromSeed(seed), "bob.agent", signed_at);
    v1::Proof proof;
    if (!chain.empty()) proof.set_rotation_chain(identity::EncodeRotationChain(chain));
    item.proof = proof.SerializeAsString();
    const auto value = ValueTypes().Of(ValueKind::kRecord).Validate(item, kStart + absl::Minutes(5));
    EXPECT_TRUE(value.ok()) << value.status();
    return *value;
  }
  static std::vector<std::string> Rotated(std::vector<std::string> chain, uint64_t from, uint64_t to, uint64_t then) {
    const auto verified = identity::VerifyRotationChain(chain, kStart);
    EXPECT_TRUE(verified.ok()) << verified.status();
    chain.push_back(
        *identity::MakeRotation(*verified, KeyFromSeed(from), KeyFromSeed(to), KeyFromSeed(then).public_key(), kStart));
    return chain;
  }
  static absl::StatusOr<bool> Replaces(const Value& held, const Value& offered) {
    return ValueTypes().Of(ValueKind::kRecord).Replaces(held, offered);
  }

  const std::vector<std::string> inception_ = {
      *identity::MakeInception(KeyFromSeed(1), KeyFromSeed(2).public_key(), kStart)};
  const std::vector<std::string> once_ = Rotated(inception_, 1, 2, 3);
  const std::vector<std::string> twice_ = Rotated(once_, 2, 3, 4);
};

TEST_F(RotatedOwnerTest, TheNewKeyTakesTheNameWhateverTheDates) {
  const Value before = Record(1, {}, kStart + absl::Minutes(1));
  EXPECT_TRUE(*Replaces(before, Record(2, once_, kStart)));
  EXPECT_TRUE(*Replaces(Record(1, inception_, kStart + absl::Minutes(1)), Record(3, twice_, kStart)));
  EXPECT_TRUE(*Replaces(Record(2, once_, kStart + absl::Minutes(1)), Record(3, twice_, kStart)));
}

TEST_F(RotatedOwnerTest, AStolenOldKeyDoesNotTakeItBack) {
  const Value held = Record(3, twice_, kStart);
  for (const Value& stolen :
       {Record(1, {}, kStart + absl::Minutes(4)), Record(1, inception_, kStart + absl::Minutes(4)),
        Record(2, once_, kStart + absl::Minutes(4))}) {
    EXPECT_EQ(ReasonOf(Replaces(held, stolen).status()), reason::kSuperseded);
  }
  EXPECT_TRUE(*Replaces(held, Record(3, twice_, kStart + absl::Minutes(1))));
}

// Key 1 and key 2 were both stolen, after they were retired: they sign another rotation.
TEST_F(RotatedOwnerTest, AForkIsRefusedAndWhatIsHeldStays) {
  const std::vector<std::string> fork = Rotated(Rotated(inception_, 1, 2, 7), 2, 7, 8);
  EXPECT_EQ(ReasonOf(Replaces(Record(3, twice_, kStart), Record(7, fork, kStart + absl::Minutes(4))).status()),
            reason::kConflict);
  EXPECT_EQ(ReasonOf(Replaces(Record(7, fork, kStart), Record(3, twice_, kStart + absl::Minutes(4))).status()),
            reason::kConflict);
}

TEST(ValueTypeTest, RefusesEveryBitFlip) {
  const crypto::SigningKey bob = KeyFromSeed(1);
  const Item record = SignedRecord(bob, "bob.agent", kStart);
  for (size_t i = 0; i < record.bytes.size(); ++i) {
    EXPECT_FALSE(
        ValueTypes().ValidateUnder(KeyOfName("bob.agent"), ValueKind::kRecord, Damaged(record, i), kStart).ok())
        << i;
  }
  const Item revocation = SignedRevocation(bob, kStart);
  for (size_t i = 0; i < revocation.bytes.size(); ++i) {
    EXPECT_FALSE(ValueTypes().Of(ValueKind::kRevocation).Validate(Damaged(revocation, i), kStart).ok()) << i;
  }
}

}  // namespace
}  // namespace dotagent::dht
