// `dotagent-bench talk`: two agents and what their gateways let them say to each other, beside bare gRPC streams and
// nats-server.
#ifndef DOTAGENT_TESTS_BENCH_TALK_H_
#define DOTAGENT_TESTS_BENCH_TALK_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace dotagent::bench {

struct TalkOptions {
  std::string programs;       // where the services are
  size_t repetitions = 5;     // turns of each side
  size_t singles = 2'000;     // requests, and messages that wait for their answer
  size_t messages = 100'000;  // small ones that do not
  size_t large = 20'000;      // of 16 KiB
};

[[nodiscard]] absl::Status MeasureTalk(const TalkOptions& options, Report& report);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_TALK_H_
