// Joins the two ends of a circuit at a relay: copies bytes both ways until an end, a limit or Cancel.
//
// Tells both ends that they are joined (one byte, kCircuitJoined) and then looks at nothing. Memory: one 64 KiB buffer
// a direction; an end that does not read slows the other down through TCP. A half close is passed on.
#ifndef DOTAGENT_COMMON_P2P_SPLICE_H_
#define DOTAGENT_COMMON_P2P_SPLICE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/p2p/circuit.h"
#include "common/p2p/operation.h"

namespace dotagent::p2p {

inline constexpr size_t kSpliceBuffer = 64 * 1024;

struct SpliceLimits {
  uint64_t max_bytes = uint64_t{1} << 30;  // in both directions together
  absl::Duration max_time = absl::Hours(1);
};

// `on_bytes` sees each piece that was passed on (ciphertext; valid during the call). `done`, called once and never from
// inside Splice, gets all bytes that were passed on and OK after both ends have closed, ResourceExhausted (LIMIT) over
// max_bytes, DeadlineExceeded (LIMIT) after max_time, Unavailable if an end broke off. Both sockets are closed by then.
// Neither is called after Cancel, which closes both. All on the thread of the sockets' io_context.
[[nodiscard]] std::shared_ptr<Operation> Splice(CircuitSocket a, CircuitSocket b, const SpliceLimits& limits,
                                                std::function<void(absl::string_view bytes)> on_bytes,
                                                std::function<void(absl::Status why, uint64_t bytes)> done);

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_SPLICE_H_
