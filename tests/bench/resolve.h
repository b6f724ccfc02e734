// `dotagent-bench resolve`: finding and publishing names.
#ifndef DOTAGENT_TESTS_BENCH_RESOLVE_H_
#define DOTAGENT_TESTS_BENCH_RESOLVE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

struct ResolveOptions {
  std::string programs;  // folder of dotagent-resolver and the peers' programs
  size_t nodes = 20;
  size_t value_bytes = 600;
  size_t repetitions = 5;
  size_t names = 10'000;          // published and looked up over all repetitions
  size_t queries = 100'000;       // of a hot name, over all repetitions
  size_t contacts = 500;          // over all repetitions
  std::vector<std::string> only;  // of kResolveParts; empty: all
};

inline constexpr const char* kResolveParts[] = {"hot", "contact", "lookup", "publish", "puzzle"};

// Measures and adds rows. Enter the private network before, if that can be; `own_network` says whether it could.
[[nodiscard]] absl::Status MeasureResolve(const ResolveOptions& options, bool own_network, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_RESOLVE_H_
