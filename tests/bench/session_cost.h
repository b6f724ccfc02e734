// Sessions, beside what they cannot be faster than: the cipher alone, the cipher and TCP one after the other, and the
// key operations of a handshake.
#ifndef DOTAGENT_TESTS_BENCH_SESSION_COST_H_
#define DOTAGENT_TESTS_BENCH_SESSION_COST_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

inline constexpr const char* kSessionParts[] = {"memory", "loopback", "handshakes"};

struct SessionCostOptions {
  size_t repetitions = 7;         // of each row, in turn with its peer
  std::vector<std::string> only;  // of kSessionParts; empty: all
};

// Pins threads to cores.
[[nodiscard]] absl::Status MeasureSessions(const SessionCostOptions& options, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_SESSION_COST_H_
