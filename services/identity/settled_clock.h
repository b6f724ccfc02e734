// The wall clock, for who does what cannot be undone once a time has come: it says nothing until it has gone as fast as
// the steady clock for six hours.
//
// A machine's clock may be off by years until someone sets it right, mostly soon after the start. Who believed it in
// between would take what holds for ended, and it would hold again afterwards. Of a clock that is wrong for longer than
// that, and does not jump, this knows nothing.
#ifndef DOTAGENT_SERVICES_IDENTITY_SETTLED_CLOCK_H_
#define DOTAGENT_SERVICES_IDENTITY_SETTLED_CLOCK_H_

#include <optional>

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace dotagent::identity_service {

inline constexpr absl::Duration kClockSettles = absl::Hours(6);

// Not thread-safe.
class SettledClock {
 public:
  // Begins to watch `clock`, which must outlive it.
  explicit SettledClock(const Clock& clock) : clock_(clock) { Begin(); }

  // The wall clock's time. std::nullopt if it has jumped, or this has not watched it for kClockSettles since the last
  // jump: by more than 5 minutes against the steady clock, which a clock that is slewed stays below. A machine that
  // slept looks like a jump, too.
  [[nodiscard]] std::optional<absl::Time> Now();

 private:
  void Begin() {
    wall_ = clock_.Now();
    steady_ = clock_.Elapsed();
  }

  const Clock& clock_;
  // Both when the watch began.
  absl::Time wall_;
  absl::Duration steady_;
};

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_SERVICES_IDENTITY_SETTLED_CLOCK_H_
