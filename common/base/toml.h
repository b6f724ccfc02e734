// The part of TOML 1.0 that a configuration file of flat options needs: comments, bare and quoted keys, basic and
// literal strings, integers, booleans, and arrays of these over one or several lines. Tables, dates, floats and
// multi-line strings are refused with the line's number, not half understood.
//
//   ASSIGN_OR_RETURN(auto entries, ParseToml("grpc-listen = \"0.0.0.0:7443\"\nbootstrap = [\"/ip4/…\", \"/ip4/…\"]"));
#ifndef DOTAGENT_COMMON_BASE_TOML_H_
#define DOTAGENT_COMMON_BASE_TOML_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent {

struct TomlEntry {
  std::string key;
  std::vector<std::string> values;  // one, unless it is an array; numbers and booleans as they were written
  bool is_array = false;
  size_t line = 0;  // where the key stands, from 1
};

// In the file's order. InvalidArgument names the line and what was expected there; a key given twice is refused, as
// TOML demands.
[[nodiscard]] absl::StatusOr<std::vector<TomlEntry>> ParseToml(absl::string_view text);

}  // namespace dotagent

#endif  // DOTAGENT_COMMON_BASE_TOML_H_
