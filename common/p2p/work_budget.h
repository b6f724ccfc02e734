// A share of a thread's time: how much of it may go into work that others than us cause.
//
// A token bucket of time. What is spent is measured by whoever does the work; the bucket may go into debt for the last
// piece, which is paid back before there is more.
#ifndef DOTAGENT_COMMON_P2P_WORK_BUDGET_H_
#define DOTAGENT_COMMON_P2P_WORK_BUDGET_H_

#include <algorithm>

#include "absl/time/time.h"

namespace dotagent::p2p {

class WorkBudget {
 public:
  // 0 < `share` ≤ 1; `burst` is what is saved at most, and there at first.
  WorkBudget(double share, absl::Duration burst, absl::Time now)
      : share_(std::clamp(share, 0.001, 1.0)), burst_(burst), left_(burst), at_(now) {}

  void Spend(absl::Duration work, absl::Time now) {
    Refill(now);
    left_ -= work;
  }
  // How long until there is some again; 0 if there is.
  [[nodiscard]] absl::Duration Pause(absl::Time now) {
    Refill(now);
    return left_ > absl::ZeroDuration() ? absl::ZeroDuration() : (kLeast - left_) / share_;
  }
  // Less than half is left: more comes in than the share allows.
  [[nodiscard]] bool Short(absl::Time now) {
    Refill(now);
    return left_ < burst_ / 2;
  }

 private:
  static constexpr absl::Duration kLeast = absl::Microseconds(100);  // what a pause is worth waking up for

  void Refill(absl::Time now) {
    if (now <= at_) return;
    left_ = std::min(burst_, left_ + (now - at_) * share_);
    at_ = now;
  }

  const double share_;
  const absl::Duration burst_;
  absl::Duration left_;
  absl::Time at_;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_WORK_BUDGET_H_
