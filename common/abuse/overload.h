// What a service that cannot keep up refuses first: what matters least.
//
// As CoDel (RFC 8289) does, it looks at how long work has waited before it began, and at the shortest wait of an
// interval: bursts are over sooner than that, a standing queue is not. Over the target, low priority is refused; over 4
// times that also normal; over 16 times also high; critical never. An interval that is better lets one level back in,
// and one in which fewer than eight calls began says nothing: a machine that stood still for a moment is no queue.
// Departs from CoDel: that drops single packets ever faster until senders slow down, where we refuse a whole class with
// when to try again, because callers are told and can tell what may wait. Work that waits for the disk counts likewise,
// by the share of what may wait at most: from 1/2, 3/4 and 15/16 on.
//
// Defends the urgent against the many, not against agents that call everything urgent: their buckets do, from which
// urgent work takes more.
#ifndef DOTAGENT_COMMON_ABUSE_OVERLOAD_H_
#define DOTAGENT_COMMON_ABUSE_OVERLOAD_H_

#include <algorithm>
#include <array>

#include "absl/time/time.h"

namespace dotagent::abuse {

enum class Priority { kLow, kNormal, kHigh, kCritical };

inline constexpr absl::Duration kOverloadInterval = absl::Milliseconds(100);
inline constexpr int kOverloadCalls = 8;
inline constexpr absl::Duration kOverloadRetryAfter = absl::Seconds(1);

// Not thread-safe. `now` is Clock::Elapsed's.
class Overload {
 public:
  // `target`: of the shortest wait; 0: waits do not count.
  explicit Overload(absl::Duration target) : target_(target) {}

  // Work that has waited for `wait` begins.
  void SawWait(absl::Duration wait, absl::Duration now) {
    EndInterval(now);
    shortest_ = std::min(shortest_, wait);
    ++calls_;
  }
  // 0 to 1: of what may wait for the disk.
  void SawBacklog(double share) { backlog_ = share; }

  // Priorities below this are refused: kLow means that none is.
  [[nodiscard]] Priority Lowest(absl::Duration now) {
    EndInterval(now);
    return static_cast<Priority>(std::max(level_, LevelOf(backlog_, kBacklogs)));
  }

 private:
  static constexpr std::array<double, 3> kBacklogs = {1.0 / 2, 3.0 / 4, 15.0 / 16};
  static constexpr std::array<double, 3> kTargets = {1, 4, 16};

  static int LevelOf(double value, const std::array<double, 3>& steps) {
    return static_cast<int>(std::count_if(steps.begin(), steps.end(), [&](double step) { return value > step; }));
  }

  void EndInterval(absl::Duration now) {
    const absl::Duration past = now - began_;
    if (past < kOverloadInterval) return;
    // Each interval that has passed since then is one in which nothing waited.
    int level = 0;
    if (target_ > absl::ZeroDuration() && calls_ >= kOverloadCalls) {
      level = LevelOf(absl::FDivDuration(shortest_, target_), kTargets);
    }
    const auto intervals = static_cast<int>(std::min(absl::FDivDuration(past, kOverloadInterval), 3.0));
    level_ = std::max(level, level_ - 1);
    for (int i = 1; i < intervals; ++i) level_ = std::max(0, level_ - 1);
    began_ = now;
    shortest_ = absl::InfiniteDuration();
    calls_ = 0;
  }

  const absl::Duration target_;
  absl::Duration began_ = absl::ZeroDuration();
  absl::Duration shortest_ = absl::InfiniteDuration();
  int calls_ = 0;
  int level_ = 0;
  double backlog_ = 0;
};

}  // namespace dotagent::abuse

#endif  // DOTAGENT_COMMON_ABUSE_OVERLOAD_H_
