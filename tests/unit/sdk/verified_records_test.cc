#include "sdk/cpp/verified_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace dotagent::sdk {
namespace {

class VerifiedRecordsTest : public testing::Test {
 protected:
  record::Record Sign(const std::string& name, const crypto::SigningKey& key) {
    return *record::Record::Sign({.name = name,
                                  .addresses = {"/ip4/192.0.2.1/tcp/4001"},
                                  .protocols = {},
                                  .timestamp = now_,
                                  .ttl_seconds = 3600},
                                 key);
  }
  static record::Name Name(const std::string& text) { return *record::Name::Parse(text); }
  crypto::SigningKey NewKey() { return crypto::SigningKey::Generate(random_); }

  SeededRandom random_{1};
  const absl::Time now_ = absl::Now();
  const crypto::SigningKey key_ = NewKey();
  VerifiedRecords records_;
};

TEST_F(VerifiedRecordsTest, ALookupIsBelievedForAWhileAndItsTtl) {
  const record::Record alice = Sign("alice.agent", key_);
  EXPECT_FALSE(records_.Holds(alice.name(), key_.public_key(), now_));
  records_.Found(alice, absl::Hours(1), now_);
  EXPECT_TRUE(records_.Holds(alice.name(), key_.public_key(), now_ + absl::Seconds(9)));
  EXPECT_FALSE(records_.Holds(alice.name(), key_.public_key(), now_ + VerifiedRecords::kBelievedFor));
  records_.Found(alice, absl::Seconds(2), now_);
  EXPECT_TRUE(records_.Holds(alice.name(), key_.public_key(), now_ + absl::Seconds(1)));
  records_.Found(Sign("bob.agent", key_), absl::ZeroDuration(), now_);
  EXPECT_FALSE(records_.Holds(Name("bob.agent"), key_.public_key(), now_)) << "a stale answer";
}

TEST_F(VerifiedRecordsTest, OnlyTheKeyThatWasFoundIsBelieved) {
  const crypto::SigningKey other = NewKey();
  records_.Found(Sign("alice.agent", key_), absl::Hours(1), now_);
  EXPECT_FALSE(records_.Holds(Name("alice.agent"), other.public_key(), now_));
  records_.Found(Sign("alice.agent", other), absl::Hours(1), now_);
  EXPECT_TRUE(records_.Holds(Name("alice.agent"), other.public_key(), now_));
  EXPECT_FALSE(records_.Holds(Name("alice.agent"), key_.public_key(), now_)) << "it has been replaced";
}

TEST_F(VerifiedRecordsTest, WhatOnlyVerifiedWasNotLookedUp) {
  const record::Record alice = Sign("alice.agent", key_);
  ASSERT_TRUE(records_.Verify(alice.name(), alice.json(), now_).ok());
  EXPECT_FALSE(records_.Holds(alice.name(), key_.public_key(), now_))
      << "whoever handed it over may have kept a newer one";
  records_.Found(alice, absl::Hours(1), now_);
  ASSERT_TRUE(records_.Verify(alice.name(), alice.json(), now_ + absl::Seconds(1)).ok());
  EXPECT_TRUE(records_.Holds(alice.name(), key_.public_key(), now_ + absl::Seconds(2)));
}

TEST_F(VerifiedRecordsTest, WhatWasLookedUpIsFoundForAsLongAsItIsBelieved) {
  const record::Record alice = Sign("alice.agent", key_);
  ASSERT_TRUE(records_.Verify(alice.name(), alice.json(), now_).ok());
  EXPECT_FALSE(records_.Find(alice.name(), now_)) << "it was not looked up";
  records_.Found(alice, absl::Hours(1), now_);
  ASSERT_TRUE(records_.Find(alice.name(), now_));
  EXPECT_EQ(records_.Find(alice.name(), now_)->json(), alice.json());
  EXPECT_FALSE(records_.Find(alice.name(), now_ + VerifiedRecords::kBelievedFor));
  EXPECT_FALSE(records_.Find(Name("bob.agent"), now_));
}

TEST_F(VerifiedRecordsTest, OtherBytesAreVerifiedAnew) {
  const record::Record alice = Sign("alice.agent", key_);
  ASSERT_TRUE(records_.Verify(alice.name(), alice.json(), now_).ok());
  std::string broken = alice.json();
  broken[broken.find("192.0.2.1")] = '2';
  EXPECT_EQ(ReasonOf(records_.Verify(alice.name(), broken, now_).status()), reason::kBadSignature);
  EXPECT_EQ(ReasonOf(records_.Verify(Name("bob.agent"), alice.json(), now_).status()), reason::kKeyMismatch);
  EXPECT_TRUE(records_.Verify(alice.name(), alice.json(), now_).ok());
}

TEST_F(VerifiedRecordsTest, NamesWithoutEndTakeNoMoreRoom) {
  records_.Found(Sign("first.agent", key_), absl::Hours(1), now_);
  for (size_t i = 0; i < VerifiedRecords::kMaxRecords; ++i) {
    records_.Found(Sign(absl::StrCat("a", i, ".agent"), key_), absl::Hours(1), now_);
  }
  EXPECT_FALSE(records_.Holds(Name("first.agent"), key_.public_key(), now_));
  EXPECT_TRUE(records_.Holds(Name("a0.agent"), key_.public_key(), now_));
}

}  // namespace
}  // namespace dotagent::sdk
