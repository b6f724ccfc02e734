// A progress bar on standard error, for work that takes more than a moment. Draws only on a terminal, at most ten times
// a second, and leaves nothing behind.
#ifndef DOTAGENT_CLI_PROGRESS_H_
#define DOTAGENT_CLI_PROGRESS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace dotagent::cli {

class Progress {
 public:
  // `total` 0: unknown. `quiet`: never draws (--json).
  Progress(std::string what, uint64_t total, bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Add(uint64_t bytes);

 private:
  void Draw(absl::Time now);

  const std::string what_;
  const uint64_t total_;
  const bool draws_;
  const absl::Time started_;
  absl::Time drawn_;
  uint64_t done_ = 0;
};

}  // namespace dotagent::cli

#endif  // DOTAGENT_CLI_PROGRESS_H_
