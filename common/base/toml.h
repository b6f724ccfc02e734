// A configuration file of flat options, read with toml++ (docs/adr/0006): strings, integers, booleans and arrays of
// these. What options cannot be (tables, dates, floats, arrays of arrays) is refused with the line's number.
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
  std::vector<std::string> values;  // one, unless it is an array; numbers and booleans in their plainest spelling
  bool is_array = false;
  size_t line = 0;  // where the value stands, from 1
};

// By key. InvalidArgument names the line and what is wrong there.
[[nodiscard]] absl::StatusOr<std::vector<TomlEntry>> ParseToml(absl::string_view text);

}  // namespace dotagent

#endif  // DOTAGENT_COMMON_BASE_TOML_H_
