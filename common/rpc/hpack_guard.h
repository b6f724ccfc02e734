// Closes a hole in Debian's gRPC 1.51 that no channel argument closes (CVE-2023-33953).
//
// Its HPACK parser applies the metadata limit to each frame and not to the whole header block, and waits for the end of
// a string however long it claims to be. So one stranger with one connection and CONTINUATION frames without end fills
// the memory (1 GiB in 3 s was measured, over TLS and past the resource quota) or, with one endless string, keeps a
// core busy for a minute with 50 MiB.
//
// It also applies the limit of concurrent streams only once the peer has acknowledged it: one that never does may open
// streams without end (12 KiB each).
//
// The guard allows a header block one frame: 16 KiB, twice the metadata limit, so that no honest client needs a second
// one; and a peer that has not acknowledged the settings 1,000 header blocks a minute: an honest one acknowledges them
// within a round trip. It stands in front of one function of libgrpc that is resolved at load time: a definition in the
// program takes the place of the library's, and calls it. It compiles for gRPC 1.51 only; later releases have the fix.
// tests/integration/grpc_abuse.py shows that it works. Also protects channels from servers.
#ifndef DOTAGENT_COMMON_RPC_HPACK_GUARD_H_
#define DOTAGENT_COMMON_RPC_HPACK_GUARD_H_

#include "absl/status/status.h"

namespace dotagent::rpc {

// OK if the guard stands where gRPC calls it. Internal if not: the program was linked in a way that leaves it out.
// Referring to this function is what links the guard in.
[[nodiscard]] absl::Status CheckHpackGuard();

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_HPACK_GUARD_H_
