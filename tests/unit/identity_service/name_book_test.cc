#include "services/identity/name_book.h"

#include <gtest/gtest.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/unit/identity_service/fixtures.h"

namespace dotagent::identity_service {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
const absl::Time kEnds = kNow + absl::Hours(24);

identity::AgentId AgentOf(uint64_t seed) { return identity::AgentId::FromFirstKey(KeyFromSeed(seed).public_key()); }

class NameBookTest : public testing::Test {
 protected:
  const std::unique_ptr<storage::Store> store_ = storage::NewMemoryStore();
  const identity::AgentId bob_ = AgentOf(1);
  const identity::AgentId carol_ = AgentOf(2);
};

TEST_F(NameBookTest, ANameIsOneAgentsAlsoAfterARestart) {
  {
    NameBook book = NameBook::Open(store_.get(), kNow).value();
    EXPECT_EQ(book.HolderOf("bob.agent", kNow).value(), std::nullopt);
    EXPECT_TRUE(book.Hold("bob.agent", bob_, kEnds, kNow).ok());
    EXPECT_EQ(ReasonOf(book.Hold("bob.agent", carol_, kEnds, kNow)), reason::kNameTaken);
    EXPECT_TRUE(book.Hold("bob.agent", bob_, kEnds + absl::Hours(1), kNow).ok());
    EXPECT_EQ(book.size(), 1U);
  }
  NameBook book = NameBook::Open(store_.get(), kNow).value();
  EXPECT_EQ(book.size(), 1U);
  EXPECT_EQ(book.HolderOf("bob.agent", kNow).value(), bob_);
}

TEST_F(NameBookTest, ItLapses30DaysAfterTheLastCertificate) {
  NameBook book = NameBook::Open(store_.get(), kNow).value();
  ASSERT_TRUE(book.Hold("bob.agent", bob_, kEnds, kNow).ok());
  const absl::Time last = kEnds + kNameLapses - absl::Milliseconds(1);
  EXPECT_EQ(book.HolderOf("bob.agent", last).value(), bob_);
  EXPECT_EQ(ReasonOf(book.Hold("bob.agent", carol_, last, last)), reason::kNameTaken);
  const absl::Time free = kEnds + kNameLapses;
  EXPECT_EQ(book.HolderOf("bob.agent", free).value(), std::nullopt);
  EXPECT_TRUE(book.Hold("bob.agent", carol_, free + absl::Hours(24), free).ok());
  EXPECT_EQ(book.HolderOf("bob.agent", free).value(), carol_);
  EXPECT_EQ(book.size(), 1U);
  EXPECT_EQ(NameBook::Open(store_.get(), free + absl::Hours(24) + kNameLapses)->size(), 0U);
}

TEST_F(NameBookTest, WhatIsReservedIsTakenBeforeItIsWritten) {
  NameBook book = NameBook::Open(store_.get(), kNow).value();
  const auto batch = book.Reserve("bob.agent", bob_, kEnds, kNow);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(book.HolderOf("bob.agent", kNow).value(), bob_);
  EXPECT_EQ(ReasonOf(book.Reserve("bob.agent", carol_, kEnds, kNow).status()), reason::kNameTaken);
  EXPECT_EQ(book.size(), 1U);
  ASSERT_TRUE(store_->Write(*batch, storage::Durability::kSync).ok());
  book.Settle("bob.agent", true);
  EXPECT_EQ(book.HolderOf("bob.agent", kNow).value(), bob_);
  EXPECT_EQ(book.size(), 1U);
}

TEST_F(NameBookTest, WhatWasNotWrittenIsFreeAgain) {
  NameBook book = NameBook::Open(store_.get(), kNow).value();
  ASSERT_TRUE(book.Reserve("bob.agent", bob_, kEnds, kNow).ok());
  ASSERT_TRUE(book.Reserve("bob.agent", bob_, kEnds + absl::Hours(1), kNow).ok());
  book.Settle("bob.agent", false);
  book.Settle("bob.agent", false);  // by the other request
  EXPECT_EQ(book.size(), 0U);
  EXPECT_EQ(book.HolderOf("bob.agent", kNow).value(), std::nullopt);
  EXPECT_TRUE(book.Hold("bob.agent", carol_, kEnds, kNow).ok());
}

TEST_F(NameBookTest, IsBounded) {
  NameBook book = NameBook::Open(store_.get(), kNow, 2).value();
  EXPECT_TRUE(book.Hold("a.agent", bob_, kEnds, kNow).ok());
  EXPECT_TRUE(book.Hold("b.agent", bob_, kEnds, kNow).ok());
  EXPECT_EQ(ReasonOf(book.Hold("c.agent", bob_, kEnds, kNow)), reason::kLimit);
  EXPECT_TRUE(book.Hold("a.agent", bob_, kEnds, kNow).ok());
}

TEST_F(NameBookTest, ADamagedEntryIsSaidToBeDamaged) {
  ASSERT_TRUE(store_->Put("name/bob.agent", "x", storage::Durability::kBuffered).ok());
  const auto book = NameBook::Open(store_.get(), kNow);
  EXPECT_TRUE(absl::IsDataLoss(book.status())) << book.status();
}

}  // namespace
}  // namespace dotagent::identity_service
