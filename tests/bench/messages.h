// Messages that agents send through a gateway, each on disk in its recipient's inbox before its sender hears OK, beside
// what their verification and the same commits to RocksDB allow with nothing around them.
#ifndef DOTAGENT_TESTS_BENCH_MESSAGES_H_
#define DOTAGENT_TESTS_BENCH_MESSAGES_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

// `programs`: the folder of the installed services.
[[nodiscard]] absl::Status MeasureMessages(const std::string& programs, size_t repetitions, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_MESSAGES_H_
