// How much of the heap is in use, whichever allocator the program is linked with.
#ifndef DOTAGENT_TESTS_SIMULATION_HEAP_H_
#define DOTAGENT_TESTS_SIMULATION_HEAP_H_

#include <cstdint>

namespace dotagent::simulation {

// Bytes that the allocator has given out, with its rounding up, and without what has been given back to it.
[[nodiscard]] uint64_t HeapInUse();

}  // namespace dotagent::simulation

#endif  // DOTAGENT_TESTS_SIMULATION_HEAP_H_
