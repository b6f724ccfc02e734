// Which keys are the store's own. Inside this room only.
#ifndef DOTAGENT_COMMON_STORAGE_KEYS_H_
#define DOTAGENT_COMMON_STORAGE_KEYS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/storage/store.h"

namespace dotagent::storage {

[[nodiscard]] inline bool IsReserved(absl::string_view key) { return !key.empty() && key.front() == '\0'; }

// InvalidArgument if `batch` touches a reserved key.
[[nodiscard]] absl::Status CheckKeys(const Batch& batch);

// The first key that is behind all that begin with `prefix`; empty if there is none.
[[nodiscard]] std::string EndOfPrefix(absl::string_view prefix);

}  // namespace dotagent::storage

#endif  // DOTAGENT_COMMON_STORAGE_KEYS_H_
