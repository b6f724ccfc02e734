// One thread and its core.
#ifndef DOTAGENT_TESTS_BENCH_PROCESSOR_H_
#define DOTAGENT_TESTS_BENCH_PROCESSOR_H_

#include <sched.h>
#include <time.h>

#include <cstddef>

#include "absl/time/time.h"

namespace dotagent::bench {

// What this thread has had of a core so far: what others do on the machine does not count.
[[nodiscard]] inline absl::Duration ThreadTime() {
  timespec spent{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return absl::DurationFromTimespec(spent);
}

// Keeps the calling thread on core `core`; where there is no such core, or the system forbids it, nothing changes.
inline void PinTo(size_t core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  (void)sched_setaffinity(0, sizeof set, &set);
}

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_PROCESSOR_H_
