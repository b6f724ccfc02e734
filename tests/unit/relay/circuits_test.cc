#include "services/relay/circuits.h"

#include <gtest/gtest.h>

#include "common/base/status.h"
#include "common/p2p/circuit.h"

namespace dotagent::relay_service {
namespace {

class CircuitsTest : public testing::Test {
 protected:
  crypto::PublicKey Key() { return crypto::SigningKey::Generate(random_).public_key(); }

  SeededRandom random_{3};
  crypto::PublicKey alice_ = Key();
  crypto::PublicKey bob_ = Key();
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  Circuits circuits_{random_, {.max_circuits = 3, .max_per_peer = 2}};
};

TEST_F(CircuitsTest, TwoVouchersMakeACircuit) {
  const auto announced = circuits_.Announce(alice_, bob_, now_);
  ASSERT_TRUE(announced.ok()) << announced.status();
  EXPECT_EQ(announced->caller_voucher.size(), p2p::kVoucherSize);
  EXPECT_NE(announced->caller_voucher, announced->target_voucher);
  const auto first = circuits_.Claim(announced->target_voucher, now_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_FALSE(first->complete);
  const auto second = circuits_.Claim(announced->caller_voucher, now_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(second->complete);
  EXPECT_EQ(second->id, first->id);
}

TEST_F(CircuitsTest, AVoucherIsGoodOnce) {
  const auto announced = circuits_.Announce(alice_, bob_, now_);
  ASSERT_TRUE(announced.ok());
  ASSERT_TRUE(circuits_.Claim(announced->caller_voucher, now_).ok());
  const auto again = circuits_.Claim(announced->caller_voucher, now_);
  EXPECT_TRUE(absl::IsNotFound(again.status()));
  EXPECT_EQ(ReasonOf(again.status()), reason::kNoReservation);
  EXPECT_FALSE(circuits_.Claim(std::string(p2p::kVoucherSize, 'x'), now_).ok());
  EXPECT_FALSE(circuits_.Claim("", now_).ok());
}

TEST_F(CircuitsTest, AVoucherLapses) {
  const auto announced = circuits_.Announce(alice_, bob_, now_);
  ASSERT_TRUE(announced.ok());
  EXPECT_FALSE(circuits_.Claim(announced->caller_voucher, announced->expires).ok());
  EXPECT_EQ(circuits_.Expire(announced->expires), std::vector<uint64_t>{announced->id});
  EXPECT_EQ(circuits_.size(), 0u);
  EXPECT_FALSE(circuits_.Claim(announced->caller_voucher, now_).ok());
}

TEST_F(CircuitsTest, AnOpenCircuitDoesNotLapse) {
  const auto announced = circuits_.Announce(alice_, bob_, now_);
  ASSERT_TRUE(circuits_.Claim(announced->caller_voucher, now_).ok());
  ASSERT_TRUE(circuits_.Claim(announced->target_voucher, now_).ok());
  EXPECT_TRUE(circuits_.Expire(now_ + absl::Hours(1)).empty());
  EXPECT_EQ(circuits_.Of(bob_), std::vector<uint64_t>{announced->id});
  circuits_.Close(announced->id);
  EXPECT_TRUE(circuits_.Of(bob_).empty());
}

TEST_F(CircuitsTest, LimitsEachPeerAtEitherEndAndAllTogether) {
  const crypto::PublicKey carol = Key();
  const auto first = circuits_.Announce(alice_, bob_, now_);
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(circuits_.Announce(carol, bob_, now_).ok());
  for (const auto& refused : {circuits_.Announce(Key(), bob_, now_), circuits_.Announce(bob_, Key(), now_)}) {
    EXPECT_TRUE(absl::IsResourceExhausted(refused.status()));
    EXPECT_EQ(ReasonOf(refused.status()), reason::kLimit);
  }
  ASSERT_TRUE(circuits_.Announce(Key(), Key(), now_).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(circuits_.Announce(Key(), Key(), now_).status()));
  circuits_.Close(first->id);
  EXPECT_TRUE(circuits_.Announce(alice_, bob_, now_).ok());
}

}  // namespace
}  // namespace dotagent::relay_service
