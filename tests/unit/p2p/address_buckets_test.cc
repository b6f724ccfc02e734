// How often an address may connect.
#include "common/p2p/address_buckets.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/p2p/address_group.h"

namespace dotagent::p2p {
namespace {

const absl::Time kStart = absl::UnixEpoch();

int TakeAll(AddressBuckets& buckets, const std::string& group, absl::Time now) {
  int taken = 0;
  while (taken < 1000 && buckets.Take(group, now)) ++taken;
  return taken;
}

TEST(AddressBucketsTest, ABurstThenTheRate) {
  AddressBuckets buckets(2, 5, 100);
  EXPECT_EQ(TakeAll(buckets, "a", kStart), 5);
  EXPECT_EQ(TakeAll(buckets, "a", kStart + absl::Milliseconds(499)), 0);
  EXPECT_EQ(TakeAll(buckets, "a", kStart + absl::Milliseconds(500)), 1);
  EXPECT_EQ(TakeAll(buckets, "a", kStart + absl::Milliseconds(2500)), 4);
  EXPECT_EQ(TakeAll(buckets, "a", kStart + absl::Hours(1)), 5) << "no more than the burst is saved";
}

TEST(AddressBucketsTest, OneAddressDoesNotTakeFromAnother) {
  AddressBuckets buckets(1, 3, 100);
  EXPECT_EQ(TakeAll(buckets, "a", kStart), 3);
  EXPECT_EQ(TakeAll(buckets, "b", kStart), 3);
}

TEST(AddressBucketsTest, NoRateIsNoLimit) {
  AddressBuckets buckets(0, 1, 100);
  EXPECT_EQ(TakeAll(buckets, "a", kStart), 1000);
  EXPECT_EQ(buckets.size(), 0U);
}

TEST(AddressBucketsTest, AClockThatStandsStillOrGoesBackGivesNothing) {
  AddressBuckets buckets(1000, 1, 100);
  EXPECT_EQ(TakeAll(buckets, "a", kStart), 1);
  EXPECT_EQ(TakeAll(buckets, "a", kStart - absl::Hours(1)), 0);
  EXPECT_EQ(TakeAll(buckets, "a", kStart), 0);
}

TEST(AddressBucketsTest, TheTableIsBoundedAndRemembersWhoCameLast) {
  AddressBuckets buckets(0.001, 2, 100);
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_TRUE(buckets.Take(absl::StrCat("address ", i), kStart));
    if (i % 40 == 0) (void)buckets.Take("busy", kStart);  // comes back often enough not to be forgotten
    ASSERT_LE(buckets.size(), 100U);
  }
  EXPECT_FALSE(buckets.Take("busy", kStart)) << "a flood of addresses does not give an old one a new burst";
  EXPECT_EQ(TakeAll(buckets, "address 9999", kStart), 1);
}

TEST(AddressGroupTest, Ipv6CountsByCustomerAndIpv4ByAddress) {
  const auto group = [](const char* address) { return AddressGroup(asio::ip::make_address(address)); };
  EXPECT_EQ(group("2001:db8:0:1::1"), group("2001:db8:0:1:ffff::2"));
  EXPECT_NE(group("2001:db8:0:1::1"), group("2001:db8:0:2::1"));
  EXPECT_EQ(group("192.0.2.1"), group("::ffff:192.0.2.1"));
  EXPECT_NE(group("192.0.2.1"), group("192.0.2.2"));
}

}  // namespace
}  // namespace dotagent::p2p
