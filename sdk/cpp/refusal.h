// What a gateway refuses on a call that goes on all the same (gateway.v1.Refusal), as the error that it stands for.
#ifndef DOTAGENT_SDK_CPP_REFUSAL_H_
#define DOTAGENT_SDK_CPP_REFUSAL_H_

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/retry_after.h"
#include "common/rpc/status.h"
#include "dotagent/gateway/v1/gateway.pb.h"

namespace dotagent::sdk {

// Never OK; the texts and the time are cut to sane ones.
[[nodiscard]] inline absl::Status StatusOf(const gateway::v1::Refusal& refusal) {
  absl::Status status = rpc::FromParts(refusal.code(), refusal.message(), refusal.reason());
  if (refusal.retry_after_ms() == 0) return status;
  const uint64_t after = std::min<uint64_t>(refusal.retry_after_ms(), absl::ToInt64Milliseconds(absl::Hours(24)));
  return WithRetryAfter(std::move(status), absl::Milliseconds(static_cast<int64_t>(after)));
}

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_REFUSAL_H_
