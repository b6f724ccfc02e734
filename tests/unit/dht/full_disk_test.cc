// Disks that run full: what cannot be written is refused and said to be, what was there is still served, others make up
// for it, and with room again all goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "common/base/status.h"
#include "common/dht/dht.h"
#include "common/dht/testing/simulation.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

using testing::HasSubstr;

constexpr ValueKind kRecord = ValueKind::kRecord;

class FullDiskTest : public testing::Test {
 protected:
  FullDiskTest() {
    for (int i = 0; i < 12; ++i) simulation_.AddNode();
    simulation_.StartAll();
    simulation_.RunFor(absl::Minutes(1));
    EXPECT_TRUE(simulation_.Put(0, kRecord, old_).ok());
  }

  void SetAllFull(bool full) {
    for (size_t i = 0; i < simulation_.size(); ++i) simulation_.SetDiskFull(i, full);
  }
  absl::Status Store(size_t node, absl::string_view name, const Item& item) {
    const Contact& caller = simulation_.contact(node == 0 ? 1 : 0);
    const Response response =
        simulation_.dht(node).Handle(caller.key, {caller, StoreCall{KeyOfName(name), kRecord, item}});
    const auto* refusal = std::get_if<absl::Status>(&response.answer);
    return refusal == nullptr ? absl::OkStatus() : *refusal;
  }
  void ExpectOldIsServed() {
    for (size_t i = 0; i < simulation_.size(); ++i) {
      const auto got = simulation_.Get(i, KeyOfName("old.agent"), kRecord);
      ASSERT_TRUE(got.ok()) << i << " " << got.status();
      EXPECT_EQ(got->item, old_);
    }
  }

  Simulation simulation_{{.seed = 1, .start = kStart}};
  const Item old_ = SignedRecord(KeyFromSeed(1), "old.agent", kStart);
  const Item new_ = SignedRecord(KeyFromSeed(1), "new.agent", kStart);
};

TEST_F(FullDiskTest, AStoreIsRefusedAndLeavesNothing) {
  const size_t node = simulation_.NearestTo(KeyOfName("old.agent"), 1)[0];
  simulation_.SetDiskFull(node, true);
  const Item renewed = SignedRecord(KeyFromSeed(1), "old.agent", simulation_.clock().Now());
  const uint64_t before = simulation_.dht(node).stored_values();
  for (const auto& [name, item] : {std::pair("new.agent", new_), std::pair("old.agent", renewed)}) {
    const absl::Status refused = Store(node, name, item);
    EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
    EXPECT_EQ(ReasonOf(refused), reason::kStorage);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("full"));
  }
  EXPECT_EQ(simulation_.dht(node).stored_values(), before);
  EXPECT_EQ(simulation_.dht(node).GetLocal(KeyOfName("old.agent"), kRecord).value(), old_);

  simulation_.Kill(node);
  simulation_.SetDiskFull(node, false);
  simulation_.Restart(node, {Simulation::AddressOf(node == 0 ? 1 : 0)}, [](const absl::Status&) {});
  EXPECT_EQ(simulation_.dht(node).GetLocal(KeyOfName("old.agent"), kRecord).value(), old_);
  EXPECT_TRUE(Store(node, "new.agent", new_).ok());
  EXPECT_TRUE(Store(node, "old.agent", renewed).ok());
  EXPECT_EQ(simulation_.dht(node).GetLocal(KeyOfName("old.agent"), kRecord).value(), renewed);
}

TEST_F(FullDiskTest, TheNextNearestMakeUpForIt) {
  const std::vector<size_t> nearest = simulation_.NearestTo(KeyOfName("new.agent"), kReplicationFactor);
  for (size_t i = 0; i < 3; ++i) simulation_.SetDiskFull(nearest[i], true);
  const auto put = simulation_.Put(nearest[0], kRecord, new_);
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(put->stored_by.size(), kReplicationFactor);
  for (size_t i = 0; i < simulation_.size(); ++i) {
    EXPECT_EQ(simulation_.Get(i, KeyOfName("new.agent"), kRecord)->item, new_) << i;
  }
}

TEST_F(FullDiskTest, WhereAllAreFullPublishingIsRefusedAndReadingGoesOn) {
  SetAllFull(true);
  const absl::Status refused = simulation_.Put(3, kRecord, new_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  EXPECT_EQ(ReasonOf(refused), reason::kTooFewReplicas);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("full"));
  ExpectOldIsServed();
  EXPECT_TRUE(absl::IsNotFound(simulation_.Get(4, KeyOfName("new.agent"), kRecord).status())) << "not half registered";
  // Upkeep on full disks loses nothing either.
  simulation_.RunFor(absl::Minutes(75));
  ExpectOldIsServed();

  SetAllFull(false);
  EXPECT_TRUE(simulation_.Put(3, kRecord, new_).ok());
  EXPECT_EQ(simulation_.Get(4, KeyOfName("new.agent"), kRecord)->item, new_);
  ExpectOldIsServed();
}

}  // namespace
}  // namespace dotagent::dht
