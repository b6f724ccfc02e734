// A progress bar on standard error, for work that takes more than a moment. Draws only on a terminal, at most ten times
// a second, and leaves nothing behind.
#ifndef DOTAGENT_COMMON_BASE_PROGRESS_H_
#define DOTAGENT_COMMON_BASE_PROGRESS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace dotagent {

class Progress {
 public:
  enum class Unit { kBytes, kItems };

  // `total` 0: unknown. `quiet`: never draws (--json).
  Progress(std::string what, uint64_t total, bool quiet, Unit unit = Unit::kBytes);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Add(uint64_t done);

 private:
  void Draw(absl::Time now);
  [[nodiscard]] std::string Format(double amount) const;

  const std::string what_;
  const uint64_t total_;
  const bool draws_;
  const Unit unit_;
  const absl::Time started_;
  absl::Time drawn_;
  uint64_t done_ = 0;
};

}  // namespace dotagent

#endif  // DOTAGENT_COMMON_BASE_PROGRESS_H_
