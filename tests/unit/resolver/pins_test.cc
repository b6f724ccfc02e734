#include "services/resolver/pins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/unit/resolver/samples.h"

namespace dotagent::resolver_service {
namespace {

using ::testing::HasSubstr;

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);
const record::Name kBob = NameOf("bob.agent");

class PinsTest : public testing::Test {
 protected:
  PinsTest() { Open(); }

  void Open(size_t capacity = 100) {
    pins_.reset();
    auto pins = Pins::Load(*store_, metrics_, capacity);
    ASSERT_TRUE(pins.ok()) << pins.status();
    pins_ = *std::move(pins);
  }
  static identity::AgentId Owner(uint64_t seed) {
    return identity::AgentId::FromFirstKey(KeyFromSeed(seed).public_key());
  }
  static Answer AnswerFrom(uint64_t seed, const std::string& name, absl::Time when) {
    return Answer{.record = SignedRecord(KeyFromSeed(seed), name, when), .owner = Owner(seed)};
  }
  absl::Status Check(const record::Name& name, uint64_t seed, absl::Time now = kStart) {
    return pins_->Check(name, Owner(seed), now);
  }

  telemetry::Metrics metrics_;
  std::unique_ptr<storage::Store> store_ = storage::NewMemoryStore();
  std::unique_ptr<Pins> pins_;
};

TEST_F(PinsTest, AnotherOwnerIsAConflict) {
  EXPECT_TRUE(Check(kBob, 1).ok()) << "never seen";
  pins_->See(AnswerFrom(1, "bob.agent", kStart), kStart);
  EXPECT_TRUE(Check(kBob, 1).ok());
  const absl::Status conflict = Check(kBob, 2);
  EXPECT_TRUE(absl::IsAborted(conflict)) << conflict;
  EXPECT_EQ(ReasonOf(conflict), reason::kConflict);
  EXPECT_THAT(std::string(conflict.message()), HasSubstr(Owner(1).ToString()));
  EXPECT_THAT(std::string(conflict.message()), HasSubstr(Owner(2).ToString()));
  EXPECT_THAT(std::string(conflict.message()), HasSubstr("--accept-new-owner"));
  EXPECT_TRUE(Check(NameOf("carol.agent"), 2).ok());
}

TEST_F(PinsTest, ARotatedKeyIsTheSameOwner) {
  pins_->See(AnswerFrom(1, "bob.agent", kStart), kStart);
  Answer rotated = AnswerFrom(2, "bob.agent", kStart + absl::Seconds(1));
  rotated.owner = Owner(1);
  EXPECT_TRUE(Check(kBob, 1).ok());
  pins_->See(rotated, kStart);
  EXPECT_TRUE(Check(kBob, 1).ok());
  EXPECT_FALSE(Check(kBob, 2).ok());
}

TEST_F(PinsTest, ItLapsesThirtyDaysAfterTheNewestRecord) {
  pins_->See(AnswerFrom(1, "bob.agent", kStart), kStart);
  pins_->See(AnswerFrom(1, "bob.agent", kStart + absl::Hours(48)), kStart + absl::Hours(48));
  EXPECT_FALSE(Check(kBob, 2, kStart + absl::Hours(48) + kPinLapses).ok());
  EXPECT_TRUE(Check(kBob, 2, kStart + absl::Hours(48) + kPinLapses + absl::Seconds(1)).ok());
  pins_->See(AnswerFrom(2, "bob.agent", kStart + absl::Hours(1000)), kStart + absl::Hours(1000));
  EXPECT_FALSE(Check(kBob, 1, kStart + absl::Hours(1000)).ok());
  EXPECT_THAT(metrics_.Render(), HasSubstr("dotagent_resolver_pins_ended_total{cause=\"lapsed\"} 1"));
}

TEST_F(PinsTest, AnOlderRecordDoesNotBringTheEndNearer) {
  pins_->See(AnswerFrom(1, "bob.agent", kStart + absl::Hours(100)), kStart);
  pins_->See(AnswerFrom(1, "bob.agent", kStart), kStart);
  EXPECT_FALSE(Check(kBob, 2, kStart + kPinLapses + absl::Hours(99)).ok());
}

TEST_F(PinsTest, AnOperatorForgets) {
  EXPECT_FALSE(pins_->Forget(kBob));
  pins_->See(AnswerFrom(1, "bob.agent", kStart), kStart);
  EXPECT_TRUE(pins_->Forget(kBob));
  EXPECT_TRUE(Check(kBob, 2).ok());
  Open();
  EXPECT_TRUE(Check(kBob, 2).ok()) << "also after a restart";
}

TEST_F(PinsTest, ItSurvivesARestart) {
  pins_->See(AnswerFrom(1, "bob.agent", kStart), kStart);
  pins_->See(AnswerFrom(1, "bob.agent", kStart + absl::Hours(25)), kStart + absl::Hours(25));
  Open();
  EXPECT_EQ(pins_->size(), 1U);
  const absl::Status conflict = Check(kBob, 2, kStart + absl::Hours(25) + kPinLapses);
  EXPECT_EQ(ReasonOf(conflict), reason::kConflict) << "the newest date was written too";
  EXPECT_THAT(std::string(conflict.message()),
              HasSubstr(absl::FormatTime(absl::RFC3339_sec, kStart, absl::UTCTimeZone())));
}

TEST_F(PinsTest, TheLeastRecentlySeenMakesRoom) {
  Open(2);
  for (const char* name : {"a.agent", "b.agent", "a.agent", "c.agent"}) pins_->See(AnswerFrom(1, name, kStart), kStart);
  EXPECT_EQ(pins_->size(), 2U);
  EXPECT_TRUE(Check(NameOf("b.agent"), 2).ok());
  EXPECT_FALSE(Check(NameOf("a.agent"), 2).ok());
  EXPECT_FALSE(Check(NameOf("c.agent"), 2).ok());
  EXPECT_THAT(metrics_.Render(), HasSubstr("dotagent_resolver_pins_ended_total{cause=\"full\"} 1"));
  Open(1);
  EXPECT_EQ(pins_->size(), 1U);
  Open(2);
  EXPECT_EQ(pins_->size(), 1U) << "what did not fit is gone from the disk too";
}

TEST_F(PinsTest, ADamagedEntryIsNotMisread) {
  ASSERT_TRUE(store_->Put("resolver/pin/bob.agent", "short", storage::Durability::kBuffered).ok());
  const auto pins = Pins::Load(*store_, metrics_);
  EXPECT_TRUE(absl::IsDataLoss(pins.status())) << pins.status();
  EXPECT_EQ(ReasonOf(pins.status()), reason::kStorage);
}

}  // namespace
}  // namespace dotagent::resolver_service
