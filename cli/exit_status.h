// How the command ends, told apart so that scripts can act on it. In docs/cli.md.
#ifndef DOTAGENT_CLI_EXIT_STATUS_H_
#define DOTAGENT_CLI_EXIT_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace dotagent::cli {

enum ExitStatus : int {
  kOk = 0,
  kFailed = 1,       // what was asked for is not so (a document does not verify), or something broke here
  kUsage = 2,        // wrong flags, an unreadable file, a key file that is none
  kNotFound = 3,     // no such name
  kRefused = 4,      // somebody said no: taken name, revoked key, broken record, full inbox
  kUnreachable = 5,  // nobody answered
  kContested = 6,    // it is in dispute who holds the name, so there is no answer
};

// The command's own reason, next to those of common/base/status.h: what was typed is not what the argument takes.
inline constexpr absl::string_view kBadArgument = "BAD_ARGUMENT";

[[nodiscard]] ExitStatus ExitStatusFor(const absl::Status& status);

}  // namespace dotagent::cli

#endif  // DOTAGENT_CLI_EXIT_STATUS_H_
