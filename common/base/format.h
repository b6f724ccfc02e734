// Figures for people.
#ifndef DOTAGENT_COMMON_BASE_FORMAT_H_
#define DOTAGENT_COMMON_BASE_FORMAT_H_

#include <string>

namespace dotagent {

// "1.2 MiB".
[[nodiscard]] std::string FormatBytes(double bytes);

}  // namespace dotagent

#endif  // DOTAGENT_COMMON_BASE_FORMAT_H_
