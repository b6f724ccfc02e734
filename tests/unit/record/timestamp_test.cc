#include "common/record/timestamp.h"

#include <gtest/gtest.h>

namespace dotagent::record {
namespace {

template <typename... Parts>
absl::Time At(Parts... parts) {
  return absl::FromCivil(absl::CivilSecond(parts...), absl::UTCTimeZone());
}

TEST(TimestampTest, WritesUtcWithMilliseconds) {
  const absl::Time time = At(2026, 1, 2, 3, 4, 5) + absl::Microseconds(678999);
  EXPECT_EQ(FormatTimestamp(time), "2026-01-02T03:04:05.678Z");
  EXPECT_EQ(FormatTimestamp(At(2026, 1, 2)), "2026-01-02T00:00:00.000Z");
  EXPECT_EQ(FormatTimestamp(absl::UnixEpoch() - absl::Microseconds(1)), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(FormatTimestamp(At(87, 1, 2)), "0087-01-02T00:00:00.000Z");
}

TEST(TimestampTest, ReadsTheProfile) {
  const absl::Time time = At(2026, 1, 2, 3, 4, 5);
  EXPECT_EQ(*ParseTimestamp("2026-01-02T03:04:05Z"), time);
  EXPECT_EQ(*ParseTimestamp("2026-01-02T03:04:05.5Z"), time + absl::Milliseconds(500));
  EXPECT_EQ(*ParseTimestamp("2026-01-02T03:04:05.123456789Z"), time + absl::Nanoseconds(123456789));
  EXPECT_EQ(*ParseTimestamp("2026-01-02T05:34:05+02:30"), time);
  EXPECT_EQ(*ParseTimestamp("2026-01-01T22:04:05-05:00"), time);
  EXPECT_EQ(*ParseTimestamp("2026-01-02T03:04:05+00:00"), time);
  EXPECT_EQ(*ParseTimestamp("2024-02-29T00:00:00Z"), At(2024, 2, 29));
  EXPECT_EQ(*ParseTimestamp("0001-01-01T00:00:00Z"), At(1, 1, 1));
  EXPECT_EQ(*ParseTimestamp("9999-12-31T23:59:59Z"), At(9999, 12, 31, 23, 59, 59));
}

TEST(TimestampTest, RefusesEverythingElse) {
  for (const char* bad : {"",
                          "now",
                          "2026-01-02",
                          "2026-01-02T03:04:05",
                          "2026-01-02 03:04:05Z",
                          "2026-01-02t03:04:05Z",
                          "2026-01-02T03:04:05z",
                          "2026-01-02T03:04Z",
                          "2026-1-2T03:04:05Z",
                          "26-01-02T03:04:05Z",
                          "2026-02-29T00:00:00Z",
                          "2026-13-01T00:00:00Z",
                          "2026-00-01T00:00:00Z",
                          "2026-01-00T00:00:00Z",
                          "2026-01-32T00:00:00Z",
                          "2026-01-02T24:00:00Z",
                          "2026-01-02T03:60:00Z",
                          "2026-12-31T23:59:60Z",
                          "2026-01-02T03:04:05.Z",
                          "2026-01-02T03:04:05.1234567890Z",
                          "2026-01-02T03:04:05,5Z",
                          "2026-01-02T03:04:05+0200",
                          "2026-01-02T03:04:05+24:00",
                          "2026-01-02T03:04:05+02:60",
                          "2026-01-02T03:04:05-00:00",
                          "2026-01-02T03:04:05Z ",
                          " 2026-01-02T03:04:05Z",
                          "2026-01-02T03:04:05ZZ",
                          "0000-01-01T00:00:00Z",
                          "+2026-01-02T03:04:05Z",
                          "12026-01-02T03:04:05Z",
                          "2026-01-02T-3:04:05Z",
                          "infinite-future"}) {
    EXPECT_FALSE(ParseTimestamp(bad).ok()) << bad;
  }
  EXPECT_FALSE(ParseTimestamp(absl::string_view("2026-01-02T03:04:05Z\0", 21)).ok());
}

TEST(TimestampTest, RoundTrips) {
  const absl::Time time = At(2026, 11, 23, 12, 0, 0) + absl::Milliseconds(7);
  EXPECT_EQ(*ParseTimestamp(FormatTimestamp(time)), time);
  EXPECT_FALSE(ParseTimestamp(FormatTimestamp(absl::InfiniteFuture())).ok());
  EXPECT_FALSE(ParseTimestamp(FormatTimestamp(absl::InfinitePast())).ok());
}

}  // namespace
}  // namespace dotagent::record
