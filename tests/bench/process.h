// A child process that is spoken to in lines.
#ifndef DOTAGENT_TESTS_BENCH_PROCESS_H_
#define DOTAGENT_TESTS_BENCH_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace dotagent::bench {

// Ends with its owner: its input is closed, then it gets SIGTERM and, after some seconds, SIGKILL. Also dies with this
// process. Its standard error is ours.
class Process {
 public:
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Process>> Start(const std::vector<std::string>& command);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // The next line of its standard output. Unavailable if it ended, DeadlineExceeded after `timeout`; both name it.
  [[nodiscard]] absl::StatusOr<std::string> ReadLine(absl::Duration timeout);
  // Writes a line and reads one.
  [[nodiscard]] absl::StatusOr<std::string> Ask(const std::string& line, absl::Duration timeout);
  // False once it has ended.
  [[nodiscard]] bool Running();
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  Process(std::string name, pid_t pid, int in, int out) : name_(std::move(name)), pid_(pid), in_(in), out_(out) {}

  const std::string name_;
  pid_t pid_;
  int in_;
  int out_;
  std::string buffer_;
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_PROCESS_H_
