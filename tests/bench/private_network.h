// A network of this process's own, with nothing in it but a loopback interface that answers to 127.x and 10.x: some
// systems take nodes at 127.x for bad ones.
#ifndef DOTAGENT_TESTS_BENCH_PRIVATE_NETWORK_H_
#define DOTAGENT_TESTS_BENCH_PRIVATE_NETWORK_H_

#include "absl/status/status.h"

namespace dotagent::bench {

// Moves this process, and children started later, into it. Call before any thread is started. PermissionDenied where
// neither root nor user namespaces are to be had; the process then stays where it is.
[[nodiscard]] absl::Status EnterPrivateNetwork();

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_PRIVATE_NETWORK_H_
