#include "tests/simulation/heap.h"

#include <malloc.h>

#include <cstddef>

// jemalloc's door to its own figures (jemalloc(3)); null where the program runs on another allocator, as under the
// sanitizers.
extern "C" int mallctl(const char* name, void* old_value, size_t* old_size, void* new_value, size_t new_size)
    __attribute__((weak));

// jemalloc's settings: a large network is spread over gigabytes, and with large pages spends less time on page tables.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "thp:always,metadata_thp:always";
}

namespace dotagent::simulation {

uint64_t HeapInUse() {
  if (mallctl == nullptr) {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  }
  // The figures are those of the last epoch.
  uint64_t epoch = 1;
  mallctl("epoch", nullptr, nullptr, &epoch, sizeof(epoch));
  size_t allocated = 0;
  size_t size = sizeof(allocated);
  mallctl("stats.allocated", &allocated, &size, nullptr, 0);
  return allocated;
}

}  // namespace dotagent::simulation
