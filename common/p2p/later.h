// Functions to run later, all on one timer of the system's, set for the first of them.
//
// A lookup wants to be woken for each node that it asks, and seldom needs it: here such a wish costs one allocation
// instead of a timer, and what falls due long after it mattered costs no system call.
#ifndef DOTAGENT_COMMON_P2P_LATER_H_
#define DOTAGENT_COMMON_P2P_LATER_H_

#include <asio/any_io_executor.hpp>
#include <functional>
#include <memory>

#include "absl/time/time.h"

namespace dotagent::p2p {

// On the loop. Its end drops what has not run.
class Later {
 public:
  explicit Later(const asio::any_io_executor& executor);
  ~Later();
  Later(const Later&) = delete;
  Later& operator=(const Later&) = delete;

  // Calls `run` once, after `delay` (one of half a second or more: up to 32 ms after it), never from inside. Those of
  // equal delay run in the order in which they came.
  void RunAfter(absl::Duration delay, std::function<void()> run);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_LATER_H_
