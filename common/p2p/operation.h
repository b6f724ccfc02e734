// Something under way that can be called off.
#ifndef DOTAGENT_COMMON_P2P_OPERATION_H_
#define DOTAGENT_COMMON_P2P_OPERATION_H_

namespace dotagent::p2p {

// Runs on whether or not anyone keeps the handle.
class Operation {
 public:
  virtual ~Operation() = default;
  // Frees its sockets and timers; its callback is not called any more. Idempotent; no effect once it is done.
  virtual void Cancel() = 0;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_OPERATION_H_
