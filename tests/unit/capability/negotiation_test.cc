#include "common/capability/negotiation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/status.h"

namespace dotagent::capability {
namespace {

using ::testing::HasSubstr;

constexpr absl::string_view kSpoken[] = {"1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1"};

TEST(NegotiationTest, TheNewestCommonVersionIsChosen) {
  EXPECT_EQ(*ChooseVersion("p", {"1.0.0", "1.9.0"}, kSpoken), "1.9.0");
  EXPECT_EQ(*ChooseVersion("p", {"1.9.0", "1.10.0", "3.0.0"}, kSpoken), "1.10.0");  // by number, not by text
  EXPECT_EQ(*ChooseVersion("p", {"2.0.0-rc.1", "1.10.0"}, kSpoken), "2.0.0-rc.1");
  EXPECT_EQ(*ChooseVersion("p", {"no version", "1.0.0"}, kSpoken), "1.0.0");
}

TEST(NegotiationTest, WithoutOneItSaysWhatIsSpoken) {
  for (const std::vector<std::string>& offered :
       {std::vector<std::string>{"2.0.0"}, std::vector<std::string>{}, std::vector<std::string>{"\n1.0.0"}}) {
    const absl::Status refused = ChooseVersion("the protocol", offered, kSpoken).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ReasonOf(refused), reason::kVersion);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("the protocol: 1.0.0, 1.10.0, 1.9.0, 2.0.0-rc.1 is spoken"));
    EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("\n")));
  }
}

TEST(NegotiationTest, WhatIsMissingIsNamed) {
  EXPECT_EQ(CheckFeatures({"1.0.0"}, kSpoken), absl::OkStatus());
  EXPECT_EQ(CheckFeatures({}, kSpoken), absl::OkStatus());
  const absl::Status refused = CheckFeatures({"1.0.0", "x", "y"}, kSpoken);
  EXPECT_EQ(ReasonOf(refused), reason::kVersion);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no x, y here"));
}

TEST(NegotiationTest, OffersAreBounded) {
  const std::vector<std::string> many(kMaxOffered + 1, "1.0.0");
  EXPECT_TRUE(absl::IsInvalidArgument(ChooseVersion("p", many, kSpoken).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(CheckFeatures(many, kSpoken)));
  const std::vector<std::string> most(kMaxOffered, "1.0.0");
  EXPECT_TRUE(ChooseVersion("p", most, kSpoken).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(ChooseVersion("p", {std::string(65, '1')}, kSpoken).status()));
}

}  // namespace
}  // namespace dotagent::capability
