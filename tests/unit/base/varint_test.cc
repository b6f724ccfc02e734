#include "common/base/varint.h"

#include <gtest/gtest.h>

#include <string>

namespace dotagent {
namespace {

std::string Encoded(uint64_t value) {
  std::string out;
  AppendVarint(value, &out);
  return out;
}

TEST(VarintTest, RoundTripsAtEveryLength) {
  EXPECT_EQ(Encoded(0), std::string(1, '\0'));
  EXPECT_EQ(Encoded(300), "\xac\x02");
  for (int bits = 0; bits < 63; ++bits) {
    for (const uint64_t value : {(uint64_t{1} << bits) - 1, uint64_t{1} << bits}) {
      const std::string bytes = Encoded(value);
      const auto read = ReadVarint(bytes + "tail");
      ASSERT_TRUE(read.ok() && read->has_value()) << value;
      EXPECT_EQ((*read)->value, value);
      EXPECT_EQ((*read)->size, bytes.size());
      for (size_t cut = 0; cut < bytes.size(); ++cut) {
        const auto part = ReadVarint(bytes.substr(0, cut));
        EXPECT_TRUE(part.ok() && !part->has_value());
      }
    }
  }
}

TEST(VarintTest, RefusesLongAndRoundaboutForms) {
  EXPECT_FALSE(ReadVarint(std::string("\x80\x00", 2)).ok());
  EXPECT_FALSE(ReadVarint(std::string("\xff\x80\x00", 3)).ok());
  EXPECT_FALSE(ReadVarint(std::string(10, '\x80')).ok());
}

TEST(LengthPrefixTest, TakesMessagesAsTheyComplete) {
  std::string buffer = WithLength("one") + WithLength("") + WithLength("three").substr(0, 4);
  EXPECT_EQ(**TakeLengthPrefixed(&buffer, 10), "one");
  EXPECT_EQ(**TakeLengthPrefixed(&buffer, 10), "");
  EXPECT_FALSE(TakeLengthPrefixed(&buffer, 10)->has_value());
  EXPECT_EQ(buffer.size(), 4U);
  buffer += "ee";
  EXPECT_EQ(**TakeLengthPrefixed(&buffer, 10), "three");
  EXPECT_EQ(buffer, "");
}

TEST(LengthPrefixTest, RefusesALengthOverTheLimitAtOnce) {
  std::string buffer = Encoded(11);
  EXPECT_FALSE(TakeLengthPrefixed(&buffer, 10).ok());
}

}  // namespace
}  // namespace dotagent
