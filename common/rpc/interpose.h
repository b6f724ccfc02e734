// Standing in front of a function of libgrpc: a definition in the program takes the place of the shared library's when
// the dynamic linker resolves the name, and can call it. hpack_guard.h, reset_guard.h
// and poller_crew.h say why.
#ifndef DOTAGENT_COMMON_RPC_INTERPOSE_H_
#define DOTAGENT_COMMON_RPC_INTERPOSE_H_

#include "absl/status/status.h"

namespace dotagent::rpc {

// The library's own definition of `symbol` (a mangled name), or nullptr.
[[nodiscard]] void* NextDefinition(const char* symbol);

// OK if gRPC's calls of `symbol` reach the program's definition. Internal if not: the program was linked in a way that
// leaves it out.
[[nodiscard]] absl::Status CheckInterposed(const char* symbol);

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_INTERPOSE_H_
