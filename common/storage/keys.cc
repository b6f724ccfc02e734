#include "common/storage/keys.h"

#include "common/base/status.h"

namespace dotagent::storage {

absl::Status CheckKeys(const Batch& batch) {
  for (const auto& [key, value] : batch.changes()) {
    if (IsReserved(key)) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kStorage,
                             "keys that begin with a zero byte are the store's own; put a table name before the key");
    }
  }
  return absl::OkStatus();
}

std::string EndOfPrefix(absl::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

}  // namespace dotagent::storage
