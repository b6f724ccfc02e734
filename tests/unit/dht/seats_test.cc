#include "common/dht/seats.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr ValueKind kKind = ValueKind::kCapabilityAdvert;
const absl::Time kLater = kStart + absl::Hours(1);
const absl::Time kEnd = kStart + absl::Hours(24);

class SeatsTest : public testing::Test {
 protected:
  Slot Owner() { return {kKind, key_, RandomId(random_)}; }
  // Whether it got a seat.
  bool Ask(Seats& seats, const Slot& slot, absl::Time now, absl::Time expires = kEnd) {
    const auto gives_way = seats.WhoGivesWay(slot, now);
    if (!gives_way.ok()) {
      EXPECT_EQ(ReasonOf(gives_way.status()), reason::kLimit);
      return false;
    }
    if (*gives_way) seats.Leave(**gives_way);
    seats.Take(slot, {seats.Since(slot).value_or(now), expires});
    return true;
  }
  static size_t Seated(const Seats& seats, const std::vector<Slot>& slots) {
    size_t count = 0;
    for (const Slot& slot : slots) count += seats.Since(slot).has_value() ? 1 : 0;
    return count;
  }
  std::vector<Slot> Owners(size_t count) {
    std::vector<Slot> owners;
    for (size_t i = 0; i < count; ++i) owners.push_back(Owner());
    return owners;
  }

  SeededRandom random_{7};
  const Id key_ = RandomId(random_);
  Seats seats_{RandomId(random_)};
};

TEST_F(SeatsTest, NoOneGivesWayWhileThereIsRoom) {
  const std::vector<Slot> owners = Owners(kSeats);
  for (const Slot& owner : owners) {
    const auto gives_way = seats_.WhoGivesWay(owner, kStart);
    ASSERT_TRUE(gives_way.ok());
    EXPECT_FALSE(gives_way->has_value());
    seats_.Take(owner, {kStart, kEnd});
  }
  EXPECT_EQ(Seated(seats_, owners), kSeats);
  EXPECT_EQ(seats_.WhoGivesWay(owners[0], kLater).value(), std::nullopt) << "who has a seat renews it";
  EXPECT_EQ(seats_.WhoGivesWay({kKind, RandomId(random_), owners[0].owner}, kLater).value(), std::nullopt)
      << "another key has seats of its own";
  EXPECT_EQ(seats_.WhoGivesWay({ValueKind::kRelayAdvert, key_, RandomId(random_)}, kLater).value(), std::nullopt);
}

TEST_F(SeatsTest, AFloodTakesNoSeniorSeat) {
  const std::vector<Slot> honest = Owners(kSeniorSeats);
  for (const Slot& owner : honest) ASSERT_TRUE(Ask(seats_, owner, kStart));
  const std::vector<Slot> flood = Owners(10'000);
  for (const Slot& owner : flood) Ask(seats_, owner, kLater);
  EXPECT_EQ(Seated(seats_, honest), kSeniorSeats) << "however many came";
  EXPECT_EQ(Seated(seats_, flood), kSeats - kSeniorSeats);
}

TEST_F(SeatsTest, ASquatterOfEverySeatLetsOthersInByLot) {
  const std::vector<Slot> squatters = Owners(kSeats);
  for (const Slot& owner : squatters) ASSERT_TRUE(Ask(seats_, owner, kStart));
  const std::vector<Slot> honest = Owners(200);
  for (const Slot& owner : honest) Ask(seats_, owner, kLater);
  // 128 seats among 128 squatters and 200: 78 expected, 5.5 standard deviations below is 50.
  EXPECT_GT(Seated(seats_, honest), 50);
  EXPECT_GE(Seated(seats_, squatters), kSeniorSeats);
}

TEST_F(SeatsTest, TheLotDoesNotDependOnTheOrderOfArrival) {
  std::vector<Slot> owners = Owners(kSeniorSeats + 600);
  Seats backwards(RandomId(random_));
  Seats forwards = backwards;
  const auto seat = [&](Seats& seats, size_t i) { Ask(seats, owners[i], i < kSeniorSeats ? kStart : kLater); };
  for (size_t i = 0; i < owners.size(); ++i) seat(forwards, i);
  for (size_t i = 0; i < kSeniorSeats; ++i) seat(backwards, i);
  for (size_t i = owners.size(); i-- > kSeniorSeats;) seat(backwards, i);
  for (const Slot& owner : owners) EXPECT_EQ(forwards.Since(owner), backwards.Since(owner));
}

TEST_F(SeatsTest, NodesDrawDifferentLots) {
  Seats other(RandomId(random_));
  const std::vector<Slot> owners = Owners(4 * kSeats);
  for (const Slot& owner : owners) {
    Ask(seats_, owner, kStart);
    Ask(other, owner, kStart);
  }
  size_t both = 0;
  for (const Slot& owner : owners) both += seats_.Since(owner) && other.Since(owner) ? 1 : 0;
  // A quarter of 256 is expected.
  EXPECT_GT(both, kSeats / 8);
  EXPECT_LT(both, kSeats / 2);
}

TEST_F(SeatsTest, WhatHasExpiredGivesWayFirst) {
  const Slot expiring = Owner();
  ASSERT_TRUE(Ask(seats_, expiring, kStart, kLater));
  for (const Slot& owner : Owners(kSeats - 1)) ASSERT_TRUE(Ask(seats_, owner, kStart));
  EXPECT_EQ(seats_.WhoGivesWay(Owner(), kLater).value(), expiring) << "although it is the most senior";
}

TEST_F(SeatsTest, RenewingKeepsSeniorityAndLeavingLosesIt) {
  const Slot owner = Owner();
  ASSERT_TRUE(Ask(seats_, owner, kStart));
  ASSERT_TRUE(Ask(seats_, owner, kLater));
  EXPECT_EQ(seats_.Since(owner), kStart);
  seats_.Leave(owner);
  EXPECT_EQ(seats_.Since(owner), std::nullopt);
  ASSERT_TRUE(Ask(seats_, owner, kLater));
  EXPECT_EQ(seats_.Since(owner), kLater);
}

}  // namespace
}  // namespace dotagent::dht
