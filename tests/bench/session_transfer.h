// Bytes carried from one core to another over loopback TCP: by two nodes and their session, and by bare sockets.
#ifndef DOTAGENT_TESTS_BENCH_SESSION_TRANSFER_H_
#define DOTAGENT_TESTS_BENCH_SESSION_TRANSFER_H_

#include "absl/status/statusor.h"

namespace dotagent::bench {

// Bytes a second on one stream, written 1 MiB at a time on core 0 and read on core 1.
[[nodiscard]] absl::StatusOr<double> TransferOverNodes();

// The same through blocking sockets, 64 KiB a call.
[[nodiscard]] absl::StatusOr<double> TransferOverTcp();

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_SESSION_TRANSFER_H_
