#include "cli/exit_status.h"

#include <gtest/gtest.h>

#include "common/base/status.h"

namespace dotagent::cli {
namespace {

ExitStatus For(absl::StatusCode code, absl::string_view why = "") {
  return ExitStatusFor(why.empty() ? absl::Status(code, "x") : ErrorWithReason(code, why, "x"));
}

TEST(ExitStatusTest, TellsTheKindsApart) {
  using absl::StatusCode;
  EXPECT_EQ(ExitStatusFor(absl::OkStatus()), kOk);

  EXPECT_EQ(For(StatusCode::kNotFound, reason::kNameNotFound), kNotFound);
  EXPECT_EQ(For(StatusCode::kNotFound), kUsage) << "a file of the caller's";

  EXPECT_EQ(For(StatusCode::kUnavailable, reason::kUnreachable), kUnreachable);
  EXPECT_EQ(For(StatusCode::kUnavailable, reason::kRecipientOffline), kUnreachable);
  EXPECT_EQ(For(StatusCode::kUnavailable), kUnreachable);
  EXPECT_EQ(For(StatusCode::kDeadlineExceeded), kUnreachable);

  EXPECT_EQ(For(StatusCode::kAlreadyExists, reason::kNameTaken), kRefused);
  EXPECT_EQ(For(StatusCode::kPermissionDenied, reason::kKeyRevoked), kRefused);
  EXPECT_EQ(For(StatusCode::kUnauthenticated, reason::kKeyMismatch), kRefused);
  EXPECT_EQ(For(StatusCode::kInvalidArgument, reason::kBadRecord), kRefused);
  EXPECT_EQ(For(StatusCode::kFailedPrecondition, reason::kStale), kRefused);
  EXPECT_EQ(For(StatusCode::kResourceExhausted, reason::kLimit), kRefused);
  EXPECT_EQ(For(StatusCode::kAborted, reason::kUnreachable), kRefused);

  EXPECT_EQ(For(StatusCode::kUnavailable, reason::kNotBootstrapped), kUnreachable);
  EXPECT_EQ(For(StatusCode::kUnavailable, reason::kTooFewCleanPaths), kUnreachable);
  EXPECT_EQ(For(StatusCode::kAborted, reason::kConflict), kContested);

  EXPECT_EQ(For(StatusCode::kInternal), kFailed);
  EXPECT_EQ(For(StatusCode::kUnknown), kFailed);
  EXPECT_EQ(For(StatusCode::kDataLoss, reason::kBadRecord), kFailed);
}

TEST(ExitStatusTest, WhatTheCallerTypedWrongIsUsageWhateverTheCode) {
  for (const absl::string_view why : {reason::kBadKey, reason::kBadName, reason::kBadAddress, kBadArgument}) {
    EXPECT_EQ(For(absl::StatusCode::kInvalidArgument, why), kUsage);
    EXPECT_EQ(For(absl::StatusCode::kFailedPrecondition, why), kUsage);
  }
}

}  // namespace
}  // namespace dotagent::cli
