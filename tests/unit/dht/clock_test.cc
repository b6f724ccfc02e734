// Clocks that are off by a day: of nodes that store, of who publishes, of who reads. What follows is the trouble of the
// one whose clock is wrong: he is told so, the others notice next to nothing, and all is well once it is right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/dht/claim_store.h"
#include "common/dht/dht.h"
#include "common/dht/testing/simulation.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr ValueKind kRecord = ValueKind::kRecord;
constexpr absl::Duration kDay = absl::Hours(24);
constexpr int64_t kHourTtl = 3600;
constexpr int64_t kWeekTtl = 7 * 86400;
const Id kBob = KeyOfName("bob.agent");

class ClockTest : public testing::Test {
 protected:
  ClockTest() {
    for (size_t i = 0; i < 30; ++i) simulation_.AddNode();
    simulation_.StartAll();
    simulation_.RunFor(absl::Minutes(1));
    nearest_ = simulation_.NearestTo(kBob, kReplicationFactor);
    for (size_t i = 0; i < simulation_.size(); ++i) {
      if (std::find(nearest_.begin(), nearest_.end(), i) == nearest_.end()) others_.push_back(i);
    }
  }

  absl::Time now() { return simulation_.clock().Now(); }
  Item RecordOf(absl::Time when, int64_t ttl) { return SignedRecord(KeyFromSeed(1), "bob.agent", when, ttl); }
  absl::Status Store(size_t node, const Item& item) {
    const Contact& caller = simulation_.contact(node == 0 ? 1 : 0);
    const Response response = simulation_.dht(node).Handle(caller.key, {caller, StoreCall{kBob, kRecord, item}});
    const auto* refusal = std::get_if<absl::Status>(&response.answer);
    return refusal == nullptr ? absl::OkStatus() : *refusal;
  }
  // Every node whose clock is right finds `item`.
  void ExpectFoundByAllBut(size_t wrong, const Item& item) {
    for (size_t i = 0; i < simulation_.size(); ++i) {
      if (i == wrong) continue;
      const auto got = simulation_.Get(i, kBob, kRecord);
      ASSERT_TRUE(got.ok()) << i << " " << got.status();
      EXPECT_EQ(got->item, item) << i;
    }
  }

  Simulation simulation_{{.seed = 1, .start = kStart}};
  std::vector<size_t> nearest_;  // to the name
  std::vector<size_t> others_;
};

TEST_F(ClockTest, ANodeADayBehindRefusesToStoreWhatTheOthersStore) {
  const size_t wrong = nearest_[0];
  simulation_.SetClockOffset(wrong, -kDay);
  const Item record = RecordOf(now(), kHourTtl);
  EXPECT_EQ(ReasonOf(Store(wrong, record)), reason::kFutureDated);
  const auto put = simulation_.Put(others_[0], kRecord, record);
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_GE(put->stored_by.size(), kReplicationFactor - 1);
  ExpectFoundByAllBut(wrong, record);
}

TEST_F(ClockTest, ANodeADayAheadTakesTheRecordForOverAndTheOthersDoNot) {
  const size_t wrong = nearest_[0];
  const Item record = RecordOf(now(), kHourTtl);
  ASSERT_TRUE(simulation_.Put(others_[0], kRecord, record).ok());
  simulation_.SetClockOffset(wrong, kDay);
  EXPECT_EQ(ReasonOf(Store(wrong, record)), reason::kStale);
  EXPECT_TRUE(absl::IsNotFound(simulation_.dht(wrong).GetLocal(kBob, kRecord).status()));
  ExpectFoundByAllBut(wrong, record);
  const absl::Status taken =
      simulation_.Put(others_[1], kRecord, SignedRecord(KeyFromSeed(2), "bob.agent", now())).status();
  EXPECT_EQ(ReasonOf(taken), reason::kNameTaken);
}

TEST_F(ClockTest, AReaderADayBehindIsToldSoAndKeepsHisTable) {
  const Item record = RecordOf(now(), kHourTtl);
  ASSERT_TRUE(simulation_.Put(others_[0], kRecord, record).ok());
  const size_t reader = others_[1];
  simulation_.SetClockOffset(reader, -kDay);
  const auto got = simulation_.Get(reader, kBob, kRecord);
  EXPECT_EQ(got.status().code(), absl::StatusCode::kFailedPrecondition) << got.status();
  EXPECT_EQ(ReasonOf(got.status()), reason::kFutureDated);
  EXPECT_THAT(std::string(got.status().message()), testing::HasSubstr("clock"));
  EXPECT_EQ(simulation_.dht(reader).known_nodes(), simulation_.size() - 1) << "all of them: the holders are honest";
  simulation_.SetClockOffset(reader, absl::ZeroDuration());
  EXPECT_EQ(simulation_.Get(reader, kBob, kRecord)->item, record);
}

TEST_F(ClockTest, ForAReaderADayAheadShortRecordsAreOverAndLongOnesAreNot) {
  const Item record = RecordOf(now(), kHourTtl);
  ASSERT_TRUE(simulation_.Put(others_[0], kRecord, record).ok());
  const size_t reader = others_[1];
  simulation_.SetClockOffset(reader, kDay);
  EXPECT_TRUE(absl::IsNotFound(simulation_.Get(reader, kBob, kRecord).status()));
  EXPECT_EQ(simulation_.dht(reader).known_nodes(), simulation_.size() - 1) << "all of them: the holders are honest";
  EXPECT_TRUE(absl::IsNotFound(simulation_.Get(reader, KeyOfName("nobody.agent"), kRecord).status()));
  simulation_.RunFor(absl::Minutes(1));
  const Item longer = RecordOf(now(), kWeekTtl);
  ASSERT_TRUE(simulation_.Put(others_[0], kRecord, longer).ok());
  EXPECT_EQ(simulation_.Get(reader, kBob, kRecord)->item, longer);
}

TEST_F(ClockTest, WhoPublishesADayAheadIsToldSoAndNothingIsKept) {
  const Item tomorrow = RecordOf(now() + kDay, kHourTtl);
  const uint64_t calls = simulation_.calls();
  EXPECT_EQ(ReasonOf(simulation_.Put(others_[0], kRecord, tomorrow).status()), reason::kFutureDated);
  EXPECT_EQ(simulation_.calls(), calls) << "its own node saw it";
  // And if its node's clock is as wrong.
  simulation_.SetClockOffset(others_[0], kDay);
  const absl::Status refused = simulation_.Put(others_[0], kRecord, tomorrow).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_EQ(ReasonOf(refused), reason::kFutureDated);
  for (size_t i = 0; i < simulation_.size(); ++i) EXPECT_EQ(simulation_.dht(i).stored_values(), 0) << i;
  // The name is not taken by that.
  const Item record = RecordOf(now(), kHourTtl);
  EXPECT_TRUE(simulation_.Put(others_[1], kRecord, record).ok());
  ExpectFoundByAllBut(others_[0], record);
}

TEST_F(ClockTest, WhoPublishesADayBehindIsToldSoUnlessTheRecordIsStillAlive) {
  const size_t node = others_[0];
  simulation_.SetClockOffset(node, -kDay);
  const absl::Status refused = simulation_.Put(node, kRecord, RecordOf(now() - kDay, kHourTtl)).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_EQ(ReasonOf(refused), reason::kStale);
  const Item week = RecordOf(now() - kDay, kWeekTtl);
  const auto put = simulation_.Put(node, kRecord, week);
  ASSERT_TRUE(put.ok()) << put.status();
  ExpectFoundByAllBut(simulation_.size(), week);
}

// The clock of a holder jumps by a day and back: no record is lost for it, at no time.
TEST_F(ClockTest, AHoldersClockMayJump) {
  const Item record = RecordOf(now(), 12 * 3600);
  ASSERT_TRUE(simulation_.Put(others_[0], kRecord, record).ok());
  for (const absl::Duration offset : {kDay, -kDay, absl::ZeroDuration()}) {
    simulation_.SetClockOffset(nearest_[0], offset);
    simulation_.RunFor(absl::Minutes(75));  // a walk through all that is held, and more
    ExpectFoundByAllBut(nearest_[0], record);
  }
  EXPECT_EQ(simulation_.Get(nearest_[0], kBob, kRecord)->item, record);
  size_t holders = 0;
  for (const size_t node : nearest_) holders += simulation_.dht(node).GetLocal(kBob, kRecord).ok() ? 1 : 0;
  EXPECT_EQ(holders, kReplicationFactor);
}

TEST_F(ClockTest, AWitnessADayAheadGivesNoNameAwayEarly) {
  const absl::Time registered = now();
  ASSERT_TRUE(simulation_.Put(others_[0], kRecord, RecordOf(registered, kHourTtl)).ok());
  // Twelve hours before the claim lapses; by that one's clock it has.
  const absl::Duration offset = kClaimLifetime - absl::Hours(12);
  for (size_t i = 0; i < simulation_.size(); ++i) simulation_.SetClockOffset(i, offset);
  simulation_.SetClockOffset(nearest_[0], offset + kDay);
  const Item hijack = SignedRecord(KeyFromSeed(2), "bob.agent", now() + offset, 7 * 86400);
  ASSERT_TRUE(Store(nearest_[0], hijack).ok()) << "it takes the name for free";
  for (size_t i = 0; i < simulation_.size(); ++i) {
    if (i == nearest_[0]) continue;
    EXPECT_EQ(ReasonOf(simulation_.Put(i, kRecord, hijack).status()), reason::kNameTaken) << i;
  }
}

// A thief reaches a newcomer whose clock is ahead; then the clock is set right, and the claim is dated tomorrow.
TEST_F(ClockTest, AClaimMadeWithTheClockAheadIsStillChecked) {
  ASSERT_TRUE(simulation_.Put(others_[0], kRecord, RecordOf(now(), kWeekTtl)).ok());
  const size_t newcomer = simulation_.AddNode();
  simulation_.SetClockOffset(newcomer, kDay);
  ASSERT_TRUE(Store(newcomer, SignedRecord(KeyFromSeed(2), "bob.agent", now(), kWeekTtl)).ok());
  simulation_.SetClockOffset(newcomer, absl::ZeroDuration());
  simulation_.Start(newcomer, {Simulation::AddressOf(0)}, [](const absl::Status&) {});
  const Item renewed = RecordOf(now() + absl::Seconds(1), kWeekTtl);
  EXPECT_EQ(ReasonOf(Store(newcomer, renewed)), reason::kNameTaken) << "it cannot know yet";
  simulation_.RunFor(absl::Minutes(3));
  EXPECT_TRUE(Store(newcomer, renewed).ok());
}

}  // namespace
}  // namespace dotagent::dht
