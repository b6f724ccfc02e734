#include "common/dht/types.h"

#include <gtest/gtest.h>

#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

TEST(IdTest, TakesExactly32Bytes) {
  EXPECT_TRUE(Id::FromBytes(std::string(32, 'x')).ok());
  EXPECT_FALSE(Id::FromBytes(std::string(31, 'x')).ok());
  EXPECT_FALSE(Id::FromBytes(std::string(33, 'x')).ok());
  EXPECT_FALSE(Id::FromBytes("").ok());
}

TEST(IdTest, DistanceIsTheXorMetric) {
  SeededRandom random(1);
  for (int i = 0; i < 100; ++i) {
    const Id a = RandomId(random);
    const Id b = RandomId(random);
    EXPECT_EQ(a.DistanceTo(a), Id());
    EXPECT_EQ(a.DistanceTo(b), b.DistanceTo(a));
    // For each distance and point there is one other point: what makes lookups converge.
    EXPECT_EQ(a.DistanceTo(b).DistanceTo(a), b);
  }
}

TEST(IdTest, CommonPrefixCountsBits) {
  const Id zero;
  EXPECT_EQ(zero.CommonPrefix(zero), 256);
  for (int bit = 0; bit < 256; ++bit) {
    std::string bytes(32, '\0');
    bytes[bit / 8] = static_cast<char>(0x80 >> (bit % 8));
    EXPECT_EQ(zero.CommonPrefix(*Id::FromBytes(bytes)), bit);
  }
}

}  // namespace
}  // namespace dotagent::dht
