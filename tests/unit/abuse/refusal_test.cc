#include "common/abuse/refusal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/retry_after.h"
#include "common/base/status.h"

namespace dotagent::abuse {
namespace {

using testing::HasSubstr;

TEST(RefusalTest, SaysWhyAndWhenToTryAgain) {
  EXPECT_TRUE(Refusal({}, "this agent").ok());
  const absl::Duration wait = absl::Milliseconds(61'200);
  const absl::Status quarantined = Refusal({Verdict::Kind::kQuarantined, Standing::kQuarantined, wait}, "this agent");
  EXPECT_TRUE(absl::IsResourceExhausted(quarantined));
  EXPECT_EQ(ReasonOf(quarantined), kQuarantined);
  EXPECT_EQ(RetryAfterOf(quarantined), wait);
  EXPECT_THAT(std::string(quarantined.message()), HasSubstr("this agent is quarantined"));
  EXPECT_THAT(std::string(quarantined.message()), HasSubstr("1m2s"));
  const absl::Status fast = Refusal({Verdict::Kind::kTooFast, Standing::kGood, absl::Microseconds(10)}, "it");
  EXPECT_EQ(ReasonOf(fast), kRateLimited);
  EXPECT_EQ(RetryAfterOf(fast), absl::Milliseconds(1));
  EXPECT_THAT(std::string(fast.message()), testing::Not(HasSubstr("throttled")));
  const absl::Status slow = Refusal({Verdict::Kind::kTooFast, Standing::kThrottled, wait}, "it");
  EXPECT_THAT(std::string(slow.message()), HasSubstr("throttled"));
  EXPECT_EQ(ReasonOf(Refusal({Verdict::Kind::kTooManyRecipients, Standing::kGood, wait}, "it")), kTooManyRecipients);
}

TEST(RefusalTest, AnOverloadIsNotTheCallersFault) {
  const absl::Status status = Overloaded("messages of low priority", absl::Seconds(1));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(ReasonOf(status), kOverloaded);
  EXPECT_EQ(RetryAfterOf(status), absl::Seconds(1));
}

}  // namespace
}  // namespace dotagent::abuse
