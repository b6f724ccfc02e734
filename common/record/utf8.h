// UTF-8 as Unicode defines it (Table 3-7): no overlong form, no surrogate, nothing above U+10FFFF.
#ifndef DOTAGENT_COMMON_RECORD_UTF8_H_
#define DOTAGENT_COMMON_RECORD_UTF8_H_

#include "absl/strings/string_view.h"

namespace dotagent::record {

[[nodiscard]] bool IsValidUtf8(absl::string_view text);

}  // namespace dotagent::record

#endif  // DOTAGENT_COMMON_RECORD_UTF8_H_
