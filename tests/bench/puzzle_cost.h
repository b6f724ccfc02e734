// What the DHT's crypto puzzles cost: those who make nodes, and those who check them.
#ifndef DOTAGENT_TESTS_BENCH_PUZZLE_COST_H_
#define DOTAGENT_TESTS_BENCH_PUZZLE_COST_H_

#include <cstddef>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

// Adds the rows; some seconds a repetition, on one core. The time to make one is a geometric variable, so each
// repetition's figure is the mean over as many as take about a second.
[[nodiscard]] absl::Status MeasurePuzzles(size_t repetitions, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_PUZZLE_COST_H_
