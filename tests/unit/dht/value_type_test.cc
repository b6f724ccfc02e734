#include "common/dht/value_type.h"

#include <gtest/gtest.h>

#include "common/base/status.h"
#include "common/dht/revocation_value.h"
#include "common/identity/agent_id.h"
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
