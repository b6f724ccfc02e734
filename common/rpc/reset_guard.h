// Ends connections that open calls only to reset them (CVE-2023-44487, "rapid reset"), which Debian's gRPC 1.51 lets
// through: a stream that is reset no longer counts against the limit of concurrent streams, but what it allocated stays
// until the server gets round to it (590 MiB for 30,000 calls within a second were measured on a busy machine).
//
// An honest client resets a call that it cancels or whose deadline has passed: seldom. The guard allows a connection
// 1,000 resets a second. As hpack_guard.h, it stands in front of one function of libgrpc and compiles for gRPC 1.51
// only.
#ifndef DOTAGENT_COMMON_RPC_RESET_GUARD_H_
#define DOTAGENT_COMMON_RPC_RESET_GUARD_H_

#include "absl/status/status.h"

namespace dotagent::rpc {

// OK if the guard stands where gRPC calls it; as CheckHpackGuard.
[[nodiscard]] absl::Status CheckResetGuard();

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_RESET_GUARD_H_
