// Time, as something that is handed in.
//
// Protocol cores take `absl::Time now` as an argument and never ask for it. Whoever drives a core asks a Clock, so that
// tests and the simulator decide what time it is.
#ifndef DOTAGENT_COMMON_BASE_CLOCK_H_
#define DOTAGENT_COMMON_BASE_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace dotagent {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Wall-clock time: what records and certificates are dated with. May jump.
  [[nodiscard]] virtual absl::Time Now() const = 0;

  // Time since an arbitrary start: for deadlines and durations. Never goes back.
  [[nodiscard]] virtual absl::Duration Elapsed() const = 0;
};

// The machine's clocks.
class SystemClock : public Clock {
 public:
  [[nodiscard]] absl::Time Now() const override;
  [[nodiscard]] absl::Duration Elapsed() const override;
};

// Stands still until told to move.
class SimulatedClock : public Clock {
 public:
  explicit SimulatedClock(absl::Time start) : start_(start), now_(start) {}

  [[nodiscard]] absl::Time Now() const override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }
  [[nodiscard]] absl::Duration Elapsed() const override {
    absl::MutexLock lock(&mutex_);
    return now_ - start_;
  }
  void Advance(absl::Duration by) {
    absl::MutexLock lock(&mutex_);
    now_ += by;
  }

 private:
  const absl::Time start_;
  mutable absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dotagent

#endif  // DOTAGENT_COMMON_BASE_CLOCK_H_
