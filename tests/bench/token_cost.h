// What capability tokens cost whoever is shown one.
#ifndef DOTAGENT_TESTS_BENCH_TOKEN_COST_H_
#define DOTAGENT_TESTS_BENCH_TOKEN_COST_H_

#include <cstddef>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

// Adds the rows; about two seconds a repetition, on one core. What is not known is measured in turn with the raw
// signature verifications of the same three blocks.
[[nodiscard]] absl::Status MeasureTokens(size_t repetitions, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_TOKEN_COST_H_
