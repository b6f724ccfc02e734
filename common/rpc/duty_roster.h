// Which of the threads that could do a work should, by how busy those are that do it (poller_crew.h).
//
// One is on duty at first, the others stand by. Whoever is on duty tells now and then how much of its time it worked:
// nearly all of it calls another one, little of it sends it off while others stay. And if all of them have been at work
// for long, none waiting for more to come, whoever stands by steps in: one that blocks holds nobody up for longer.
#ifndef DOTAGENT_COMMON_RPC_DUTY_ROSTER_H_
#define DOTAGENT_COMMON_RPC_DUTY_ROSTER_H_

#include <cstddef>

#include "absl/time/time.h"

namespace dotagent::rpc {

// A value without threads or a clock; whoever uses it locks it.
class DutyRoster {
 public:
  // Shares of its time that a thread on duty worked.
  static constexpr double kBusy = 0.9;
  static constexpr double kIdle = 0.25;
  // How long nobody may be waiting for work before another one steps in.
  static constexpr absl::Duration kAway = absl::Milliseconds(100);

  // Whether one more has to go on duty.
  [[nodiscard]] bool NeedsAnother(absl::Time now) const {
    return on_duty_ < wanted_ || (waiting_ == 0 && now - all_at_work_since_ >= kAway);
  }
  // A thread goes on duty, or leaves it.
  void Begin();
  void End();
  // A thread on duty begins to wait for work, or has got some.
  void Wait() { ++waiting_; }
  void Work(absl::Time now);
  // Whether a thread on duty that worked for `share` of its time stays; if not, it has to End. Afterwards NeedsAnother
  // may say something else.
  [[nodiscard]] bool Stays(double share);

  [[nodiscard]] size_t on_duty() const { return on_duty_; }

 private:
  size_t wanted_ = 1;
  size_t on_duty_ = 0;
  size_t waiting_ = 0;  // of those on duty
  absl::Time all_at_work_since_ = absl::InfiniteFuture();
};

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_DUTY_ROSTER_H_
