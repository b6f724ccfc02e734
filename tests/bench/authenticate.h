// Agents proving their keys to a gateway, and it its own to them, over gRPC with TLS, beside the signature operations
// that this takes and nothing else.
#ifndef DOTAGENT_TESTS_BENCH_AUTHENTICATE_H_
#define DOTAGENT_TESTS_BENCH_AUTHENTICATE_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

// `programs`: the folder of the installed services.
[[nodiscard]] absl::Status MeasureAuthentication(const std::string& programs, size_t repetitions, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_AUTHENTICATE_H_
