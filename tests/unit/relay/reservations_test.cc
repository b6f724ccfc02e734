#include "services/relay/reservations.h"

#include <gtest/gtest.h>

#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"

namespace dotagent::relay_service {
namespace {

class ReservationsTest : public testing::Test {
 protected:
  // A node's end of a reservation.
  struct Node {
    std::vector<std::string> vouchers;
    std::vector<absl::Status> ends;
    bool keeps_up = true;
    Holder holder() {
      return {.incoming =
                  [this](const relay::v1::Incoming& incoming) {
                    vouchers.push_back(incoming.voucher());
                    return keeps_up;
                  },
              .ended = [this](const absl::Status& why) { ends.push_back(why); }};
    }
  };
  crypto::PublicKey Key() { return crypto::SigningKey::Generate(random_).public_key(); }
  static relay::v1::Incoming Voucher(const std::string& voucher) {
    relay::v1::Incoming incoming;
    incoming.set_voucher(voucher);
    return incoming;
  }

  SeededRandom random_{5};
  crypto::PublicKey bob_ = Key();
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  Reservations reservations_{3, absl::Hours(1)};
};

TEST_F(ReservationsTest, TellsTheNewestReservation) {
  Node old, renewed;
  EXPECT_EQ(ReasonOf(reservations_.Tell(bob_, Voucher("v"))), reason::kNoReservation);
  const auto first = reservations_.Make(bob_, old.holder(), now_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->expires, now_ + absl::Hours(1));
  EXPECT_TRUE(reservations_.Tell(bob_, Voucher("v1")).ok());
  ASSERT_TRUE(reservations_.Make(bob_, renewed.holder(), now_).ok());
  EXPECT_TRUE(reservations_.Tell(bob_, Voucher("v2")).ok());
  EXPECT_EQ(old.vouchers, std::vector<std::string>{"v1"});
  EXPECT_EQ(renewed.vouchers, std::vector<std::string>{"v2"});
  EXPECT_TRUE(old.ends.empty());
  reservations_.Release(first->id);
  EXPECT_TRUE(reservations_.Tell(bob_, Voucher("v3")).ok());
}

TEST_F(ReservationsTest, AKeysThirdEndsItsFirst) {
  Node a, b, c;
  ASSERT_TRUE(reservations_.Make(bob_, a.holder(), now_).ok());
  ASSERT_TRUE(reservations_.Make(bob_, b.holder(), now_).ok());
  ASSERT_TRUE(reservations_.Make(bob_, c.holder(), now_).ok());
  ASSERT_EQ(a.ends.size(), 1u);
  EXPECT_EQ(ReasonOf(a.ends[0]), reason::kSuperseded);
  EXPECT_TRUE(b.ends.empty());
  EXPECT_EQ(reservations_.size(), 2u);
}

TEST_F(ReservationsTest, RefusesOverTheLimit) {
  Node node;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(reservations_.Make(Key(), node.holder(), now_).ok());
  const auto refused = reservations_.Make(Key(), node.holder(), now_);
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status()));
  EXPECT_EQ(ReasonOf(refused.status()), reason::kLimit);
}

TEST_F(ReservationsTest, SaysIfTheHolderDoesNotKeepUp) {
  Node node;
  node.keeps_up = false;
  ASSERT_TRUE(reservations_.Make(bob_, node.holder(), now_).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(reservations_.Tell(bob_, Voucher("v"))));
}

TEST_F(ReservationsTest, RunOutAndAreEnded) {
  Node a, b;
  const crypto::PublicKey carol = Key();
  ASSERT_TRUE(reservations_.Make(bob_, a.holder(), now_).ok());
  ASSERT_TRUE(reservations_.Make(carol, b.holder(), now_ + absl::Minutes(1)).ok());
  reservations_.Expire(now_ + absl::Hours(1));
  EXPECT_EQ(a.ends.size(), 1u);
  EXPECT_FALSE(reservations_.Holds(bob_));
  EXPECT_TRUE(reservations_.Holds(carol));
  reservations_.EndAll(carol, absl::PermissionDeniedError("revoked"));
  ASSERT_EQ(b.ends.size(), 1u);
  EXPECT_TRUE(absl::IsPermissionDenied(b.ends[0]));
  EXPECT_EQ(reservations_.size(), 0u);
}

}  // namespace
}  // namespace dotagent::relay_service
