// Errors that carry a reason.
//
// An absl::Status has a code for programs that retry and a message for people. A Reason is the third part: a stable
// upper-case word that a program can tell cases apart by (NAME_TAKEN and STALE_RECORD are both FailedPrecondition to a
// retry policy, but not to an agent). It travels between nodes in the `reason` fields of protos and to gRPC callers as
// google.rpc.ErrorInfo.
//
// A message says what was wrong, with which input, and what to do:
//
//   return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kNameTaken,
//                          "bob.agent is held by another key; choose another name, or sign with the key that holds
//                          it");
#ifndef DOTAGENT_COMMON_BASE_STATUS_H_
#define DOTAGENT_COMMON_BASE_STATUS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent {

namespace reason {
// Every reason that dotagent sends. A new one is added here, and to docs/errors.md.
inline constexpr absl::string_view kBadName = "BAD_NAME";
inline constexpr absl::string_view kBadRecord = "BAD_RECORD";
inline constexpr absl::string_view kBadMessage = "BAD_MESSAGE";
inline constexpr absl::string_view kBadStatement = "BAD_STATEMENT";
inline constexpr absl::string_view kBadAddress = "BAD_ADDRESS";
inline constexpr absl::string_view kBadKey = "BAD_KEY";
inline constexpr absl::string_view kBadSignature = "BAD_SIGNATURE";
inline constexpr absl::string_view kTooLarge = "TOO_LARGE";
inline constexpr absl::string_view kStale = "STALE";
inline constexpr absl::string_view kFutureDated = "FUTURE_DATED";
inline constexpr absl::string_view kSuperseded = "SUPERSEDED";
inline constexpr absl::string_view kNameTaken = "NAME_TAKEN";
inline constexpr absl::string_view kNameNotFound = "NAME_NOT_FOUND";
inline constexpr absl::string_view kKeyRevoked = "KEY_REVOKED";
inline constexpr absl::string_view kKeyMismatch = "KEY_MISMATCH";
inline constexpr absl::string_view kNotAuthenticated = "NOT_AUTHENTICATED";
inline constexpr absl::string_view kNotBootstrapped = "NOT_BOOTSTRAPPED";
inline constexpr absl::string_view kTooFewReplicas = "TOO_FEW_REPLICAS";
inline constexpr absl::string_view kTooFewCleanPaths = "TOO_FEW_CLEAN_PATHS";
inline constexpr absl::string_view kConflict = "CONFLICT";
inline constexpr absl::string_view kNotCertified = "NOT_CERTIFIED";
inline constexpr absl::string_view kRecipientOffline = "RECIPIENT_OFFLINE";
inline constexpr absl::string_view kNoReservation = "NO_RESERVATION";
inline constexpr absl::string_view kLimit = "LIMIT";
inline constexpr absl::string_view kUnreachable = "UNREACHABLE";
inline constexpr absl::string_view kStorage = "STORAGE";
inline constexpr absl::string_view kProtocol = "PROTOCOL";
inline constexpr absl::string_view kVersion = "VERSION";
// Of capability tokens.
inline constexpr absl::string_view kBadToken = "BAD_TOKEN";
inline constexpr absl::string_view kUnknownField = "UNKNOWN_FIELD";
inline constexpr absl::string_view kTokenCut = "TOKEN_CUT";
inline constexpr absl::string_view kTokenSpliced = "TOKEN_SPLICED";
inline constexpr absl::string_view kTokenReordered = "TOKEN_REORDERED";
inline constexpr absl::string_view kTokenReplayed = "TOKEN_REPLAYED";
inline constexpr absl::string_view kTokenWidened = "TOKEN_WIDENED";
inline constexpr absl::string_view kTokenRevoked = "TOKEN_REVOKED";
inline constexpr absl::string_view kNotOwner = "NOT_OWNER";
inline constexpr absl::string_view kNotCovered = "NOT_COVERED";
inline constexpr absl::string_view kUsedUp = "USED_UP";
inline constexpr absl::string_view kTokenRequired = "TOKEN_REQUIRED";
inline constexpr absl::string_view kNotAContact = "NOT_A_CONTACT";
}  // namespace reason

// An error with a reason.
[[nodiscard]] absl::Status ErrorWithReason(absl::StatusCode code, absl::string_view reason, absl::string_view message);

// The reason, or empty if the status has none.
[[nodiscard]] std::string ReasonOf(const absl::Status& status);

// The same error with `prefix` and ": " before its message; code and reason stay. OK stays OK.
[[nodiscard]] absl::Status WithContext(const absl::Status& status, absl::string_view prefix);

}  // namespace dotagent

// NOLINTBEGIN(bugprone-macro-parentheses): a declaration cannot stand in parentheses.
#define DOTAGENT_CONCAT_INNER(a, b) a##b
#define DOTAGENT_CONCAT(a, b) DOTAGENT_CONCAT_INNER(a, b)

// Returns from the function if `expression`, an absl::Status, is not OK.
#define RETURN_IF_ERROR(expression)                                             \
  do {                                                                          \
    if (::absl::Status dotagent_status = (expression); !dotagent_status.ok()) { \
      return dotagent_status;                                                   \
    }                                                                           \
  } while (false)

// Declares or assigns `target` from `expression`, an absl::StatusOr; returns its error if it has one.
#define ASSIGN_OR_RETURN(target, expression) \
  ASSIGN_OR_RETURN_INNER(DOTAGENT_CONCAT(status_or_, __LINE__), target, expression)
#define ASSIGN_OR_RETURN_INNER(holder, target, expression) \
  auto holder = (expression);                              \
  if (!holder.ok()) {                                      \
    return std::move(holder).status();                     \
  }                                                        \
  target = *std::move(holder)
// NOLINTEND(bugprone-macro-parentheses)

#endif  // DOTAGENT_COMMON_BASE_STATUS_H_
