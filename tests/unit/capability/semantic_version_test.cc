#include "common/capability/semantic_version.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/status.h"

namespace dotagent::capability {
namespace {

SemanticVersion V(absl::string_view text) { return SemanticVersion::Parse(text).value(); }

bool In(absl::string_view version, absl::string_view range) {
  return VersionRange::Parse(range).value().Contains(V(version));
}

TEST(SemanticVersionTest, OrdersAsTheStandardsExampleDoes) {
  const std::vector<std::string> ascending = {"0.9.0",      "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
                                              "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
                                              "1.0.0",      "1.0.1",        "1.2.0",         "1.10.0",
                                              "2.0.0",      "2.1.0",        "2.1.1"};
  for (size_t i = 0; i < ascending.size(); ++i) {
    for (size_t j = 0; j < ascending.size(); ++j) {
      EXPECT_EQ(V(ascending[i]).Compare(V(ascending[j])), i <=> j) << ascending[i] << " " << ascending[j];
    }
  }
}

TEST(SemanticVersionTest, BuildsDoNotCount) {
  EXPECT_EQ(V("1.0.0+a").Compare(V("1.0.0+b.001")), std::weak_ordering::equivalent);
  EXPECT_EQ(V("1.0.0-rc.1+a").Compare(V("1.0.0-rc.1")), std::weak_ordering::equivalent);
  EXPECT_EQ(V("1.0.0-rc.1+a").text(), "1.0.0-rc.1+a");
}

TEST(SemanticVersionTest, TakesLargeNumbersInPrereleases) {
  EXPECT_EQ(V("1.0.0-99999999999999999999").Compare(V("1.0.0-100000000000000000000")), std::weak_ordering::less);
}

TEST(SemanticVersionTest, RefusesWhatIsNone) {
  const std::vector<std::string> bad = {"",
                                        "1",
                                        "1.0",
                                        "1.0.0.0",
                                        "01.0.0",
                                        "1.00.0",
                                        "1.0.0-",
                                        "1.0.0-a..b",
                                        "1.0.0-01",
                                        "1.0.0+",
                                        "1.0.0+a..b",
                                        "1.0.0-ä",
                                        "v1.0.0",
                                        "1.0.0 ",
                                        "-1.0.0",
                                        "1.0.x",
                                        "1.0.0-a_b",
                                        "1..0",
                                        "1234567890.0.0",
                                        "1.0.0-" + std::string(60, 'a'),
                                        std::string(1000, '1')};
  for (const std::string& text : bad) {
    const auto version = SemanticVersion::Parse(text);
    EXPECT_EQ(ReasonOf(version.status()), reason::kBadStatement) << text;
    EXPECT_LT(version.status().message().size(), 200);
  }
}

TEST(VersionRangeTest, HoldsWhatEveryComparatorHolds) {
  EXPECT_TRUE(In("1.5.0", ">=1.0.0 <2.0.0"));
  EXPECT_TRUE(In("1.0.0", ">=1.0.0 <2.0.0"));
  EXPECT_FALSE(In("2.0.0", ">=1.0.0  <2.0.0"));
  EXPECT_FALSE(In("1.0.0", ">1.0.0"));
  EXPECT_TRUE(In("1.0.0", "<=1.0.0"));
  EXPECT_TRUE(In("1.2.3", "1.2.3"));
  EXPECT_TRUE(In("1.2.3+build", "=1.2.3"));
  EXPECT_FALSE(In("1.2.4", "=1.2.3"));
  EXPECT_TRUE(In("0.0.1", "*"));
}

TEST(VersionRangeTest, CaretGoesUpToWhatMayBreak) {
  EXPECT_TRUE(In("1.9.9", "^1.2.3"));
  EXPECT_FALSE(In("1.2.2", "^1.2.3"));
  EXPECT_FALSE(In("2.0.0", "^1.2.3"));
  EXPECT_TRUE(In("0.2.9", "^0.2.3"));
  EXPECT_FALSE(In("0.3.0", "^0.2.3"));
  EXPECT_TRUE(In("0.0.3", "^0.0.3"));
  EXPECT_FALSE(In("0.0.4", "^0.0.3"));
  EXPECT_TRUE(In("1.2.9", "~1.2.3"));
  EXPECT_FALSE(In("1.3.0", "~1.2.3"));
  EXPECT_FALSE(In("0.1.0", "~0.0.3"));
}

TEST(VersionRangeTest, PrereleasesAreInOnlyWhereTheyAreAskedFor) {
  EXPECT_FALSE(In("1.5.0-alpha", "^1.0.0"));
  EXPECT_FALSE(In("1.5.0-alpha", "*"));
  EXPECT_FALSE(In("2.0.0-alpha", "^1.0.0"));
  EXPECT_TRUE(In("1.5.0-beta", ">=1.5.0-alpha"));
  EXPECT_TRUE(In("1.5.0", ">=1.5.0-alpha"));
  EXPECT_FALSE(In("1.6.0-beta", ">=1.5.0-alpha"));
}

TEST(VersionRangeTest, RefusesWhatIsNone) {
  for (const std::string text : {"", " ", "1.0", ">=", "^", "* *", "|| 1.0.0", ">= 1.0.0", "^999999999.0.0",
                                 "1.0.0 1.0.0 1.0.0 1.0.0 1.0.0 1.0.0 1.0.0 1.0.0 1.0.0"}) {
    EXPECT_EQ(ReasonOf(VersionRange::Parse(text).status()), reason::kBadStatement) << text;
  }
  EXPECT_EQ(ReasonOf(VersionRange::Parse(std::string(kMaxRangeSize + 1, ' ')).status()), reason::kBadStatement);
}

}  // namespace
}  // namespace dotagent::capability
