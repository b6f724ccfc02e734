#include "common/base/format.h"

#include <gtest/gtest.h>

namespace dotagent {
namespace {

TEST(FormatBytesTest, PicksAUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes(1.25 * 1024 * 1024), "1.2 MiB");
  EXPECT_EQ(FormatBytes(5.0 * 1024 * 1024 * 1024 * 1024 * 1024), "5120.0 TiB");
}

}  // namespace
}  // namespace dotagent
