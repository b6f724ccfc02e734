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

// The same for identity, which counts their uses: through its ledger, on a RocksDB of its own in the folder for
// temporary files, each use on disk before it is confirmed; in turn with synced writes one at a time.
[[nodiscard]] absl::Status MeasureRedemptions(size_t repetitions, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_TOKEN_COST_H_
