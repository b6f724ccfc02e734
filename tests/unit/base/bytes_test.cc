#include "common/base/bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dotagent {
namespace {

TEST(HexTest, RoundTripsAndRefusesWhatIsNotHexadecimal) {
  EXPECT_EQ(HexEncode(std::string("\x00\xff\x10", 3)), "00ff10");
  EXPECT_EQ(*HexDecode("00FF10"), std::string("\x00\xff\x10", 3));
  EXPECT_FALSE(HexDecode("0").ok());
  EXPECT_THAT(HexDecode("0g").status().message(), testing::HasSubstr("position 1"));
}

TEST(Base64Test, AcceptsOnlyTheCanonicalForm) {
  EXPECT_EQ(Base64Encode("f"), "Zg==");
  EXPECT_EQ(*Base64Decode("Zm9v"), "foo");
  EXPECT_EQ(*Base64Decode(""), "");
  for (const char* bad : {"Zg", "Zg=", "Zh==", "Zm 9v", "Zm9v\n", "_-8=", "Zm9v====", "=Zm9"}) {
    EXPECT_FALSE(Base64Decode(bad).ok()) << bad;
  }
}

TEST(ConstantTimeEqualsTest, ComparesContentAndLength) {
  EXPECT_TRUE(ConstantTimeEquals("abc", "abc"));
  EXPECT_FALSE(ConstantTimeEquals("abc", "abd"));
  EXPECT_FALSE(ConstantTimeEquals("abc", "ab"));
}

}  // namespace
}  // namespace dotagent
