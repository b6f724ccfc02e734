// One simulation, from the first node to the last lookup: nodes join, owners publish, nodes come and go, readers look
// up, and what came of it is counted.
#ifndef DOTAGENT_TESTS_SIMULATION_RUN_H_
#define DOTAGENT_TESTS_SIMULATION_RUN_H_

#include <cstdint>
#include <functional>
#include <string>

#include "tests/simulation/outcome.h"
#include "tests/simulation/parameters.h"

namespace dotagent::simulation {

// A new stage has begun, with this many steps.
using StageBegun = std::function<void(const std::string& what, uint64_t steps)>;
using StepDone = std::function<void()>;

// `parameters` must be complete. wall_s is left at 0.
[[nodiscard]] Outcome Run(const Parameters& parameters, const StageBegun& stage, const StepDone& step);

}  // namespace dotagent::simulation

#endif  // DOTAGENT_TESTS_SIMULATION_RUN_H_
