#include "common/session/reset_code.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"

namespace dotagent::session {
namespace {

struct Meaning {
  uint64_t code;
  absl::StatusCode status;
  absl::string_view reason;  // empty: none
  absl::string_view text;
};

using absl::StatusCode;

constexpr Meaning kMeanings[] = {
    {reset_code::kDropped, StatusCode::kAborted, reason::kUnreachable, "its holder let go of it"},
    {reset_code::kUnknownProtocol, StatusCode::kUnimplemented, reason::kProtocol, "it does not serve the protocol"},
    // Not InvalidArgument: a gateway or a relay may only have passed on what somebody else sent.
    {reset_code::kBadMessage, StatusCode::kAborted, reason::kProtocol, "it got something that breaks the protocol"},
    {reset_code::kTimeout, StatusCode::kDeadlineExceeded, reason::kUnreachable, "it waited too long"},
    {reset_code::kRefused, StatusCode::kPermissionDenied, "", "it refused"},
    {reset_code::kKeyRevoked, StatusCode::kPermissionDenied, reason::kKeyRevoked,
     "a key at one of its ends has been revoked"},
    {reset_code::kUnreachable, StatusCode::kUnavailable, reason::kUnreachable, "what lies behind it is out of reach"},
    {reset_code::kLimit, StatusCode::kResourceExhausted, reason::kLimit, "it has reached a limit"},
    {reset_code::kCancelled, StatusCode::kAborted, reason::kUnreachable, "nobody there wants it any more"},
    {reset_code::kInternal, StatusCode::kInternal, "", "it failed"},
    {reset_code::kGoingAway, StatusCode::kUnavailable, reason::kUnreachable, "it is shutting down"},
    {reset_code::kTokenRevoked, StatusCode::kPermissionDenied, reason::kTokenRevoked,
     "the token that allowed it has been revoked"},
};

}  // namespace

uint64_t ResetCodeFor(const absl::Status& why) {
  const std::string cause = ReasonOf(why);
  if (cause == reason::kKeyRevoked) return reset_code::kKeyRevoked;
  if (cause == reason::kTokenRevoked) return reset_code::kTokenRevoked;
  if (cause == reason::kLimit) return reset_code::kLimit;
  if (cause == reason::kProtocol) return reset_code::kBadMessage;
  switch (why.code()) {
    case StatusCode::kOk:
      return reset_code::kDropped;
    case StatusCode::kInvalidArgument:
    case StatusCode::kOutOfRange:
    case StatusCode::kDataLoss:
      return reset_code::kBadMessage;
    case StatusCode::kDeadlineExceeded:
      return reset_code::kTimeout;
    case StatusCode::kPermissionDenied:
    case StatusCode::kUnauthenticated:
    case StatusCode::kFailedPrecondition:
      return reset_code::kRefused;
    case StatusCode::kUnavailable:
    case StatusCode::kAborted:
      return reset_code::kUnreachable;
    case StatusCode::kResourceExhausted:
      return reset_code::kLimit;
    case StatusCode::kCancelled:
      return reset_code::kCancelled;
    case StatusCode::kUnimplemented:
      return reset_code::kUnknownProtocol;
    default:
      return reset_code::kInternal;
  }
}

absl::Status StatusOfReset(uint64_t code) {
  constexpr absl::string_view kPrefix = "the peer reset the stream: ";
  for (const Meaning& meaning : kMeanings) {
    if (meaning.code != code) continue;
    const std::string message = absl::StrCat(kPrefix, meaning.text);
    return meaning.reason.empty() ? absl::Status(meaning.status, message)
                                  : ErrorWithReason(meaning.status, meaning.reason, message);
  }
  return ErrorWithReason(StatusCode::kAborted, reason::kUnreachable, absl::StrCat(kPrefix, "code ", code));
}

}  // namespace dotagent::session
