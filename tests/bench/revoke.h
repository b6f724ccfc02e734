// How long a revoked key lives on: from the call to identity until every gateway has ended what the key had open, and
// every resolver refuses its name, in a running network.
#ifndef DOTAGENT_TESTS_BENCH_REVOKE_H_
#define DOTAGENT_TESTS_BENCH_REVOKE_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

struct RevokeOptions {
  std::string programs;  // the folder of the installed services
  size_t resolvers = 5;
  size_t agents = 1'000;
  size_t revocations = 100;  // one after another; as many again at once. At most a quarter of the agents
};

[[nodiscard]] absl::Status MeasureRevocation(const RevokeOptions& options, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_REVOKE_H_
