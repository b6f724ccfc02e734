#include "common/rpc/status.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/retry_after.h"
#include "common/base/status.h"

namespace dotagent::rpc {
namespace {

TEST(StatusTest, CodeMessageAndReasonSurviveTheRoundTrip) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status sent =
        ErrorWithReason(static_cast<absl::StatusCode>(code), reason::kNameTaken, "bob.agent is taken");
    const grpc::Status wire = ToGrpc(sent);
    EXPECT_EQ(wire.error_code(), code);
    const absl::Status received = FromGrpc(wire);
    EXPECT_EQ(received.code(), sent.code());
    EXPECT_EQ(received.message(), "bob.agent is taken");
    EXPECT_EQ(ReasonOf(received), reason::kNameTaken);
  }
  EXPECT_TRUE(FromGrpc(ToGrpc(absl::OkStatus())).ok());
}

TEST(StatusTest, WhenToTryAgainSurvivesTheRoundTrip) {
  const absl::Status sent = WithRetryAfter(
      ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit, "too fast"), absl::Microseconds(2'500'400));
  const absl::Status received = FromGrpc(ToGrpc(sent));
  EXPECT_EQ(RetryAfterOf(received), absl::Milliseconds(2501));  // rounded up
  EXPECT_EQ(ReasonOf(received), reason::kLimit);
  EXPECT_EQ(RetryAfterOf(absl::UnavailableError("")), std::nullopt);
  EXPECT_TRUE(WithRetryAfter(absl::OkStatus(), absl::Seconds(1)).ok());
}

// The bytes are those of google.rpc.Status with an ErrorInfo, which other stacks decode.
TEST(StatusTest, DetailsAreGoogleRpcStatus) {
  const std::string details =
      ToGrpc(ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound, "no")).error_details();
  const std::string info = std::string("\x0a\x0eNAME_NOT_FOUND\x12\x0c") + "dotagent.dev";
  const std::string url = "type.googleapis.com/google.rpc.ErrorInfo";
  const std::string any =
      std::string("\x0a") + static_cast<char>(url.size()) + url + "\x12" + static_cast<char>(info.size()) + info;
  EXPECT_EQ(details, std::string("\x08\x05\x12\x02no\x1a") + static_cast<char>(any.size()) + any);
}

TEST(StatusTest, AnErrorWithoutReasonHasNoDetails) {
  const grpc::Status wire = ToGrpc(absl::InternalError("broken"));
  EXPECT_EQ(wire.error_details(), "");
  EXPECT_EQ(ReasonOf(FromGrpc(wire)), "");
}

TEST(StatusTest, ForeignAndBrokenDetailsAreIgnored) {
  for (const std::string& details :
       {std::string("\xff\xff\xff"), std::string(100'000, '\0'), std::string("\x1a\x7f")}) {
    const absl::Status received = FromGrpc(grpc::Status(grpc::StatusCode::NOT_FOUND, "no", details));
    EXPECT_EQ(received.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(ReasonOf(received), "");
  }
}

TEST(StatusTest, UnavailableWithoutReasonIsUnreachable) {
  EXPECT_EQ(ReasonOf(FromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE, "refused"))), reason::kUnreachable);
}

}  // namespace
}  // namespace dotagent::rpc
