// How long a thread that waits for an event looks for it before it sleeps.
//
// To be woken costs a thread tens of microseconds where its core has gone idle, the most on a virtual machine, whose
// core goes back to the host; whoever wakes it pays as much again. Where events follow each other closely that is most
// of what they take, so it pays to look for the next one for a while. Where they do not, it would burn the processor
// for nothing. So a wait may look for as long as a limit if the last one was over within it, and otherwise sleeps at
// once: what is lost is the limit, once for each pause between events. (The Linux kernel's haltpoll and the C library's
// adaptive mutexes decide alike.)
#ifndef DOTAGENT_COMMON_RPC_ADAPTIVE_SPIN_H_
#define DOTAGENT_COMMON_RPC_ADAPTIVE_SPIN_H_

#include "absl/time/time.h"

namespace dotagent::rpc {

// A value; it knows no clock.
class AdaptiveSpin {
 public:
  // Zero: always sleeps.
  explicit AdaptiveSpin(absl::Duration limit) : limit_(limit) {}

  // Somebody begins to wait for an event.
  void Begin(absl::Time now) { begun_ = now; }
  // It has come.
  void End(absl::Time now) { last_was_short_ = now - begun_ <= limit_; }
  // How long whoever waits for it now may look; then it is time to sleep.
  [[nodiscard]] absl::Time Until() const { return last_was_short_ ? begun_ + limit_ : absl::InfinitePast(); }

 private:
  const absl::Duration limit_;
  absl::Time begun_ = absl::InfinitePast();
  bool last_was_short_ = false;
};

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_ADAPTIVE_SPIN_H_
