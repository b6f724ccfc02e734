// An error as it is told on a call that goes on all the same (gateway.v1.Refusal).
#ifndef DOTAGENT_SERVICES_GATEWAY_REFUSAL_H_
#define DOTAGENT_SERVICES_GATEWAY_REFUSAL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"
#include "dotagent/gateway/v1/gateway.pb.h"

namespace dotagent::gateway_service {

[[nodiscard]] inline gateway::v1::Refusal RefusalOf(const absl::Status& why) {
  gateway::v1::Refusal refusal;
  refusal.set_code(static_cast<int32_t>(why.code()));
  refusal.set_message(std::string(why.message()));
  refusal.set_reason(ReasonOf(why));
  if (const auto after = RetryAfterOf(why)) {
    refusal.set_retry_after_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(*after)));
  }
  return refusal;
}

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_REFUSAL_H_
