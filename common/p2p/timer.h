// Durations as asio's timers take them.
#ifndef DOTAGENT_COMMON_P2P_TIMER_H_
#define DOTAGENT_COMMON_P2P_TIMER_H_

#include <algorithm>
#include <chrono>

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace dotagent::p2p {

// Between 0 and 30 days: asio adds it to the present, which overflows for an infinite one.
[[nodiscard]] inline std::chrono::nanoseconds TimerDelay(absl::Duration delay) {
  return absl::ToChronoNanoseconds(std::clamp(delay, absl::ZeroDuration(), absl::Hours(24 * 30)));
}

// The time that sessions are driven with: it never jumps, unlike the wall clock's.
[[nodiscard]] inline absl::Time SteadyNow(const Clock& clock) { return absl::UnixEpoch() + clock.Elapsed(); }

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_TIMER_H_
