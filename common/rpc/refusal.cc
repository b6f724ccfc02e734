#include "common/rpc/refusal.h"

#include <algorithm>
#include <utility>

namespace dotagent::rpc {

absl::Status RefusalFromParts(int32_t code, absl::string_view message, absl::string_view reason,
                              uint64_t retry_after_ms) {
  constexpr size_t kMaxReason = 64;
  const bool known = code > 0 && code <= static_cast<int32_t>(absl::StatusCode::kUnauthenticated);
  absl::Status refusal = ErrorWithReason(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
                                         reason.substr(0, kMaxReason), message.substr(0, kMaxRefusalText));
  if (retry_after_ms == 0) return refusal;
  const auto longest = static_cast<uint64_t>(absl::ToInt64Milliseconds(kMaxRetryAfter));
  return WithRetryAfter(std::move(refusal),
                        absl::Milliseconds(static_cast<int64_t>(std::min(retry_after_ms, longest))));
}

}  // namespace dotagent::rpc
