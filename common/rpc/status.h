// absl::Status to and from grpc::Status. Code and message go over as they are; the reason travels as a
// google.rpc.ErrorInfo (domain "dotagent.dev") in `grpc-status-details-bin`, where every gRPC stack looks for it, and
// with it, if there is a reason, when to try again (common/base/retry_after.h) as a google.rpc.RetryInfo.
#ifndef DOTAGENT_COMMON_RPC_STATUS_H_
#define DOTAGENT_COMMON_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace dotagent::rpc {

[[nodiscard]] grpc::Status ToGrpc(const absl::Status& status);
[[nodiscard]] absl::Status FromGrpc(const grpc::Status& status);

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_STATUS_H_
