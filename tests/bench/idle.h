// `dotagent-bench idle`: what an agent costs a gateway that does nothing but be connected, each over a connection of
// its own, its inbox open.
#ifndef DOTAGENT_TESTS_BENCH_IDLE_H_
#define DOTAGENT_TESTS_BENCH_IDLE_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

struct IdleOptions {
  std::string programs;  // where the services are
  size_t agents = 15'000;
};

[[nodiscard]] absl::Status MeasureIdle(const IdleOptions& options, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_IDLE_H_
