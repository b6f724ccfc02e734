// peers/grpc.cc and peers/signed_relay.cc as processes: what bare gRPC allows, with the TLS that dotagent's services
// use and nothing else of theirs.
#ifndef DOTAGENT_TESTS_BENCH_BARE_GRPC_H_
#define DOTAGENT_TESTS_BENCH_BARE_GRPC_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/record/canonical_json.h"
#include "tests/bench/process.h"

namespace dotagent::bench {

struct BareGrpc {
  // Starts `programs`/bench-peer-grpc.
  [[nodiscard]] static absl::StatusOr<BareGrpc> Start(const std::string& programs);

  std::unique_ptr<Process> process;
  std::string address;  // host:port
};

// One bidirectional stream to a bare server that sends every message back.
struct StreamCost {
  std::vector<double> round_trip_us;  // one message at a time
  double messages_per_second = 0;     // many at a time, one way counted
};
[[nodiscard]] absl::StatusOr<StreamCost> MeasureBareStream(const BareGrpc& server, size_t bytes, size_t singles,
                                                           size_t messages);

// A server between two that ask and answer, with signed messages and nothing else.
struct BareRelay {
  // Starts `programs`/bench-peer-relay, twice.
  [[nodiscard]] static absl::StatusOr<BareRelay> Start(const std::string& programs);

  std::unique_ptr<Process> server;
  std::unique_ptr<Process> answerer;
  std::string address;  // host:port
};

// What each of `count` signed requests takes until its answer has been verified, one at a time, in µs.
[[nodiscard]] absl::StatusOr<std::vector<double>> MeasureBareRelay(const BareRelay& relay, const record::Json& content,
                                                                   size_t count);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_BARE_GRPC_H_
