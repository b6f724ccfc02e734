// What a gateway speaks: the versions of its own protocol and of messages, the features that it has, and its limits.
// GatewayService.Negotiate, for agents; between gateways the protocol's name carries its version (trunk.h).
#ifndef DOTAGENT_SERVICES_GATEWAY_NEGOTIATE_H_
#define DOTAGENT_SERVICES_GATEWAY_NEGOTIATE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "dotagent/gateway/v1/gateway.pb.h"

namespace dotagent::gateway_service {

// Those that an operator sets, or tests do.
struct SpokenLimits {
  uint64_t inbox_messages = 0;
  uint64_t channels = 0;       // an agent
  uint64_t subscriptions = 0;  // an agent
};

// Believes and remembers nothing. FailedPrecondition (VERSION) if there is no common version, or a required feature is
// missing; InvalidArgument (PROTOCOL) if too much is named.
[[nodiscard]] absl::StatusOr<gateway::v1::NegotiateResponse> Negotiate(const gateway::v1::NegotiateRequest& request,
                                                                       const SpokenLimits& limits);

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_NEGOTIATE_H_
