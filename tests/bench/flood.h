// A node under a flood of handshakes: what its established sessions keep, and how newcomers fare.
#ifndef DOTAGENT_TESTS_BENCH_FLOOD_H_
#define DOTAGENT_TESTS_BENCH_FLOOD_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

inline constexpr const char* kFloodParts[] = {"many", "one", "unlimited", "newcomers"};

struct FloodOptions {
  std::string programs;           // the folder of dotagent-resolver
  size_t repetitions = 5;         // with a flood and without, in turn
  size_t seconds = 2;             // of each
  size_t newcomers = 20;          // of each kind, one after the other
  std::vector<std::string> only;  // of kFloodParts; empty: all
};

// The node runs on core 0, everything else on core 1.
[[nodiscard]] absl::Status MeasureFlood(const FloodOptions& options, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_FLOOD_H_
