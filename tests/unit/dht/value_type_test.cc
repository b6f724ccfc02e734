#include "common/dht/value_type.h"

#include <gtest/gtest.h>

#include "common/base/status.h"
#include "common/dht/revocation_value.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

TEST(ValueTypeTest, ARecordImpliesItsKeyOwnerAndDates) {
  const crypto::SigningKey bob = KeyFromSeed(1);
  const Value value = RecordOf(bob, "Bob.agent", kStart, 3600);
  EXPECT_EQ(value.key, KeyOfName("bob.agent"));
  EXPECT_EQ(value.owner, bob.public_key().bytes());
  EXPECT_EQ(value.timestamp, kStart);
  EXPECT_EQ(value.expires, kStart + absl::Hours(1));
}

TEST(ValueTypeTest, ARevocationImpliesItsKeyAndNeverExpires) {
  const crypto::SigningKey bob = KeyFromSeed(1);
  const Value value = RevocationOf(bob, kStart);
  EXPECT_EQ(value.key, RevocationValue::KeyFor(bob.public_key().bytes()).value());
  EXPECT_EQ(value.expires, absl::InfiniteFuture());
}

TEST(ValueTypeTest, RefusesAValueUnderAnotherKey) {
  const std::string record = SignedRecord(KeyFromSeed(1), "bob.agent", kStart);
  EXPECT_TRUE(ValidateUnder(KeyOfName("bob.agent"), ValueKind::kRecord, record, kStart).ok());
  EXPECT_FALSE(ValidateUnder(KeyOfName("alice.agent"), ValueKind::kRecord, record, kStart).ok());
}

TEST(ValueTypeTest, RefusesAnExpiredRecord) {
  const std::string record = SignedRecord(KeyFromSeed(1), "bob.agent", kStart, 60);
  const auto late = TypeOf(ValueKind::kRecord).Validate(record, kStart + absl::Seconds(60));
  EXPECT_EQ(ReasonOf(late.status()), reason::kStale);
}

TEST(ValueTypeTest, RefusesEveryBitFlip) {
  const crypto::SigningKey bob = KeyFromSeed(1);
  const std::string record = SignedRecord(bob, "bob.agent", kStart);
  for (size_t i = 0; i < record.size(); ++i) {
    std::string flipped = record;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_FALSE(ValidateUnder(KeyOfName("bob.agent"), ValueKind::kRecord, flipped, kStart).ok()) << i;
  }
  const std::string revocation = SignedRevocation(bob, kStart);
  for (size_t i = 0; i < revocation.size(); ++i) {
    std::string flipped = revocation;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_FALSE(TypeOf(ValueKind::kRevocation).Validate(flipped, kStart).ok()) << i;
  }
}

}  // namespace
}  // namespace dotagent::dht
