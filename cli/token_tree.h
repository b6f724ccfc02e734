// A capability token in a file: for people, as a tree, and for programs.
//
//   agent://bob.agent  signed by 11qYAYKx…
//   └─ 1. to FVEo4…
//      │  call, read on agent://bob.agent/calendar
//      │  2026-11-23T11:55:00Z to 2026-11-24T12:00:00Z, 10 uses
//      │  id 5b0c…
//      └─ 2. to …
#ifndef DOTAGENT_CLI_TOKEN_TREE_H_
#define DOTAGENT_CLI_TOKEN_TREE_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/capability/token.h"

namespace dotagent::cli {

// A token's bytes from a file ("-": standard input) that holds them as they are, or as one line of base64. As
// ReadInput.
[[nodiscard]] absl::StatusOr<std::string> ReadToken(const std::string& path);

// "2026-11-23T12:00:00Z".
[[nodiscard]] std::string FormatTokenTime(absl::Time time);

// Ends with a line that says whether it holds at `now`.
[[nodiscard]] std::string TokenTree(const capability::Token& token, absl::Time now);

// A list of its blocks, the owner's first.
[[nodiscard]] nlohmann::ordered_json TokenJson(const capability::Token& token);

}  // namespace dotagent::cli

#endif  // DOTAGENT_CLI_TOKEN_TREE_H_
