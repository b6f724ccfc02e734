#include "common/rpc/refusal.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "dotagent/gateway/v1/gateway.pb.h"

namespace dotagent::rpc {
namespace {

TEST(RefusalTest, WhatIsWrittenIsRead) {
  const absl::Status why = WithRetryAfter(
      ErrorWithReason(absl::StatusCode::kResourceExhausted, "RATE_LIMITED", "too fast"), absl::Seconds(3));
  gateway::v1::Refusal refusal;
  WriteRefusal(why, &refusal);
  EXPECT_EQ(ReadRefusal(refusal), why);
  EXPECT_EQ(RetryAfterOf(ReadRefusal(refusal)), absl::Seconds(3));

  gateway::v1::Refusal plain;
  WriteRefusal(absl::NotFoundError("nobody"), &plain);
  EXPECT_TRUE(absl::IsNotFound(ReadRefusal(plain)));
  EXPECT_EQ(ReasonOf(ReadRefusal(plain)), "");
  EXPECT_EQ(RetryAfterOf(ReadRefusal(plain)), std::nullopt);
}

TEST(RefusalTest, WhatMakesNoSenseIsCut) {
  gateway::v1::Refusal hostile;
  hostile.set_message(std::string(100'000, 'm'));
  hostile.set_reason(std::string(100'000, 'R'));
  hostile.set_retry_after_ms(std::numeric_limits<uint64_t>::max());
  for (const int32_t code : {0, -1, 17, std::numeric_limits<int32_t>::max()}) {
    hostile.set_code(code);
    const absl::Status read = ReadRefusal(hostile);
    EXPECT_EQ(read.code(), absl::StatusCode::kUnknown) << code;
    EXPECT_EQ(read.message().size(), kMaxRefusalText);
    EXPECT_EQ(ReasonOf(read).size(), 64u);
    EXPECT_EQ(RetryAfterOf(read), kMaxRetryAfter);
  }
}

TEST(RefusalTest, AnEndlessTextIsNotSent) {
  gateway::v1::Refusal refusal;
  WriteRefusal(absl::InternalError(std::string(100'000, 'm')), &refusal);
  EXPECT_EQ(refusal.message().size(), kMaxRefusalText);
}

}  // namespace
}  // namespace dotagent::rpc
