// One publisher, many subscribers at one gateway: publications delivered a second, beside nats-server.
#ifndef DOTAGENT_TESTS_BENCH_FAN_OUT_H_
#define DOTAGENT_TESTS_BENCH_FAN_OUT_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

struct FanOutOptions {
  std::string programs;  // the folder of the installed services
  size_t subscribers = 1'000;
  size_t connections = 1'000;   // of theirs; each is an agent of its own
  size_t publications = 1'000;  // a repetition
  size_t payload = 128;         // bytes
  size_t repetitions = 5;
};

[[nodiscard]] absl::Status MeasureFanOut(const FanOutOptions& options, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_FAN_OUT_H_
