// A count that rises, and that somebody waits for.
#ifndef DOTAGENT_TESTS_BENCH_PROGRESS_H_
#define DOTAGENT_TESTS_BENCH_PROGRESS_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace dotagent::bench {

// Thread-safe.
class Progress {
 public:
  explicit Progress(std::string what) : what_(std::move(what)) {}

  void Add(uint64_t count) {
    const absl::MutexLock lock(&mutex_);
    value_ += count;
  }
  [[nodiscard]] uint64_t value() const {
    const absl::MutexLock lock(&mutex_);
    return value_;
  }
  // DeadlineExceeded if it stands still for a minute.
  [[nodiscard]] absl::Status AwaitAtLeast(uint64_t wanted) const {
    const absl::MutexLock lock(&mutex_);
    const auto reached = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return value_ >= wanted; };
    for (uint64_t seen = value_; !mutex_.AwaitWithTimeout(absl::Condition(&reached), absl::Minutes(1)); seen = value_) {
      if (value_ == seen) return absl::DeadlineExceededError(absl::StrCat(what_, ": only ", value_, " of ", wanted));
    }
    return absl::OkStatus();
  }

 private:
  const std::string what_;
  mutable absl::Mutex mutex_;
  uint64_t value_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_PROGRESS_H_
