// A service as it is installed, as a child process.
#ifndef DOTAGENT_TESTS_BENCH_SERVICE_PROCESS_H_
#define DOTAGENT_TESTS_BENCH_SERVICE_PROCESS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/bench/process.h"

namespace dotagent::bench {

// Ends with its process, and the addresses that it told.
struct RunningService {
  std::unique_ptr<Process> process;
  std::string grpc;  // host:port
  std::string http;  // host:port
  std::string p2p;   // multiaddr with /p2p/; empty without a public port
  std::string peer_id;
};

// Starts `programs`/dotagent-`service` with its data in `data_dir` and waits until it serves, for at most a minute.
// `host` is the IPv4 address of its public port.
[[nodiscard]] absl::StatusOr<RunningService> StartService(const std::string& programs, const std::string& service,
                                                          const std::string& data_dir, const std::string& host,
                                                          const std::vector<std::string>& options);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_SERVICE_PROCESS_H_
