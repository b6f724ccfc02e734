// What a figure was measured on.
#ifndef DOTAGENT_TESTS_BENCH_MACHINE_H_
#define DOTAGENT_TESTS_BENCH_MACHINE_H_

#include <string>
#include <utility>
#include <vector>

namespace dotagent::bench {

// Name and value, in the order in which they are shown: processor, cores, memory, kernel, compiler, libraries, load,
// date, commit (with "and changes" if the checkout has any besides docs/).
[[nodiscard]] std::vector<std::pair<std::string, std::string>> DescribeMachine();

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_MACHINE_H_
