// Counts an event by connection and by window of time, for the guards in front of gRPC, which gives them no place to
// keep a counter for each connection: a fixed table by the connection's address. Two connections may share a counter;
// an honest one then suffers only if it causes the event itself while the other floods.
#ifndef DOTAGENT_COMMON_RPC_FLOOD_COUNTERS_H_
#define DOTAGENT_COMMON_RPC_FLOOD_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace dotagent::rpc {

// Thread-safe; an atomic operation a count. 32 KiB.
class FloodCounters {
 public:
  // `allowed` events a connection and window.
  explicit FloodCounters(uint32_t allowed) : allowed_(allowed) {}

  // Counts one event of `connection` in `window`, a number that changes with time. False if it is one too many.
  [[nodiscard]] bool Allow(const void* connection, uint32_t window);
  // A new connection has this address: what an earlier one did is not held against it.
  void Forget(const void* connection);

 private:
  [[nodiscard]] std::atomic<uint64_t>& CounterOf(const void* connection);

  static constexpr size_t kCounters = 4096;
  const uint32_t allowed_;
  std::array<std::atomic<uint64_t>, kCounters> counters_{};  // each: window ‖ events in it
};

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_FLOOD_COUNTERS_H_
