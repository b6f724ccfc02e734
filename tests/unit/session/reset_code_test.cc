#include "common/session/reset_code.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/base/status.h"

namespace dotagent::session {
namespace {

using absl::StatusCode;

TEST(ResetCodeTest, TheNumbersOnTheWireStayAsTheyAre) {
  const uint64_t codes[] = {reset_code::kDropped,     reset_code::kUnknownProtocol, reset_code::kBadMessage,
                            reset_code::kTimeout,     reset_code::kRefused,         reset_code::kKeyRevoked,
                            reset_code::kUnreachable, reset_code::kLimit,           reset_code::kCancelled,
                            reset_code::kInternal,    reset_code::kGoingAway,       reset_code::kTokenRevoked};
  uint64_t expected = 0;
  for (const uint64_t code : codes) EXPECT_EQ(code, expected++);
}

TEST(ResetCodeTest, WhatAProgramActsOnComesThroughTheWire) {
  for (const auto& [code, word] : {std::pair(StatusCode::kPermissionDenied, reason::kKeyRevoked),
                                   std::pair(StatusCode::kPermissionDenied, reason::kTokenRevoked),
                                   std::pair(StatusCode::kUnavailable, reason::kUnreachable),
                                   std::pair(StatusCode::kDeadlineExceeded, reason::kUnreachable),
                                   std::pair(StatusCode::kResourceExhausted, reason::kLimit),
                                   std::pair(StatusCode::kUnimplemented, absl::string_view()),
                                   std::pair(StatusCode::kInternal, absl::string_view()),
                                   std::pair(StatusCode::kPermissionDenied, absl::string_view())}) {
    const absl::Status why = word.empty() ? absl::Status(code, "x") : ErrorWithReason(code, word, "x");
    const absl::Status heard = StatusOfReset(ResetCodeFor(why));
    EXPECT_EQ(heard.code(), code) << why;
    if (word.empty()) continue;
    EXPECT_EQ(ReasonOf(heard), word) << why;
  }
}

TEST(ResetCodeTest, TheReasonCountsBeforeTheCode) {
  EXPECT_EQ(ResetCodeFor(ErrorWithReason(StatusCode::kDeadlineExceeded, reason::kLimit, "")), reset_code::kLimit);
  EXPECT_EQ(ResetCodeFor(ErrorWithReason(StatusCode::kAborted, reason::kProtocol, "")), reset_code::kBadMessage);
  EXPECT_EQ(ResetCodeFor(ErrorWithReason(StatusCode::kUnauthenticated, reason::kKeyRevoked, "")),
            reset_code::kKeyRevoked);
}

TEST(ResetCodeTest, EveryStatusHasACode) {
  const std::pair<StatusCode, uint64_t> expected[] = {
      {StatusCode::kOk, reset_code::kDropped},
      {StatusCode::kCancelled, reset_code::kCancelled},
      {StatusCode::kUnknown, reset_code::kInternal},
      {StatusCode::kInvalidArgument, reset_code::kBadMessage},
      {StatusCode::kOutOfRange, reset_code::kBadMessage},
      {StatusCode::kDataLoss, reset_code::kBadMessage},
      {StatusCode::kFailedPrecondition, reset_code::kRefused},
      {StatusCode::kUnauthenticated, reset_code::kRefused},
      {StatusCode::kAborted, reset_code::kUnreachable},
      {StatusCode::kNotFound, reset_code::kInternal},
  };
  for (const auto& [status, code] : expected) EXPECT_EQ(ResetCodeFor(absl::Status(status, "x")), code) << status;
}

TEST(ResetCodeTest, EachCodeReadsDifferentlyAndIsAnError) {
  std::set<std::string> texts;
  for (uint64_t code = 0; code <= reset_code::kTokenRevoked; ++code) {
    const absl::Status status = StatusOfReset(code);
    EXPECT_FALSE(status.ok()) << code;
    EXPECT_TRUE(texts.insert(std::string(status.message())).second) << status;
  }
}

TEST(ResetCodeTest, AnUnknownCodeIsABrokenStream) {
  for (const uint64_t code : {reset_code::kTokenRevoked + 1, uint64_t{0x100}, (uint64_t{1} << 62) - 1}) {
    const absl::Status status = StatusOfReset(code);
    EXPECT_EQ(status.code(), StatusCode::kAborted);
    EXPECT_EQ(ReasonOf(status), reason::kUnreachable);
    EXPECT_NE(status.message().find(std::to_string(code)), absl::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace dotagent::session
