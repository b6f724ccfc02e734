#include "common/rpc/flood_counters.h"

namespace dotagent::rpc {

std::atomic<uint64_t>& FloodCounters::CounterOf(const void* connection) {
  // Fibonacci hashing; the lowest bits of an object's address are the same for all.
  const uint64_t address = reinterpret_cast<uintptr_t>(connection) / 16;
  static_assert(kCounters == size_t{1} << (64 - 52));
  return counters_[(address * 0x9e3779b97f4a7c15) >> 52];
}

void FloodCounters::Forget(const void* connection) { CounterOf(connection).store(0, std::memory_order_relaxed); }

bool FloodCounters::Allow(const void* connection, uint32_t window) {
  std::atomic<uint64_t>& counter = CounterOf(connection);
  uint64_t seen = counter.load(std::memory_order_relaxed);
  uint64_t counted = 0;
  do {
    // Saturates, so that a flood cannot run into the next window's bits.
    if (seen >> 32 == window && static_cast<uint32_t>(seen) > allowed_) return false;
    counted = seen >> 32 == window ? seen + 1 : (uint64_t{window} << 32 | 1);
  } while (!counter.compare_exchange_weak(seen, counted, std::memory_order_relaxed));
  return static_cast<uint32_t>(counted) <= allowed_;
}

}  // namespace dotagent::rpc
