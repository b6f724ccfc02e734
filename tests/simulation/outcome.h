// What a simulation found, and how it is told.
#ifndef DOTAGENT_TESTS_SIMULATION_OUTCOME_H_
#define DOTAGENT_TESTS_SIMULATION_OUTCOME_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/simulation/parameters.h"

namespace dotagent::simulation {

// Of one kind of lookups.
struct LookupFigures {
  uint64_t lookups = 0;
  uint64_t as_wished = 0;                    // the owner's record; of an absent name, a definite NOT_FOUND
  std::map<std::string, uint64_t> failures;  // by reason
  std::vector<uint32_t> rounds;              // of those as wished
  std::vector<double> latency_ms;            // of those as wished
  uint64_t messages = 0;                     // requests and answers, of all
  uint64_t bytes = 0;                        // theirs
};

struct Outcome {
  LookupFigures present;
  LookupFigures absent;
  uint64_t readers_left = 0;  // lookups, not in the above, whose node left the network before they ended
  uint64_t ram_bytes_per_node = 0;
  uint64_t names_published = 0;
  uint64_t names_unpublished = 0;  // no try succeeded
  uint64_t nodes_astray = 0;       // honest nodes that know only hostile ones near themselves, once all have joined
  uint64_t records_lost = 0;
  uint64_t names_stolen = 0;
  uint64_t names_contested = 0;
  uint64_t thefts_tried = 0;  // thieves who stored a record of theirs under another's name
  uint64_t thefts_confirmed = 0;
  uint64_t nodes_replaced = 0;
  double join_virtual_s = 0;
  double virtual_hours = 0;  // in all
  uint64_t events = 0;
  uint64_t messages = 0;
  uint64_t bytes = 0;
  double wall_s = 0;
};

// The smallest value that at least `share` of `values` do not exceed; 0 if there is none.
[[nodiscard]] double Percentile(std::vector<double> values, double share);

// One JSON object on one line. Everything but wall_s and ram_bytes_per_node, which are measured, and threads follows
// from the other parameters.
[[nodiscard]] std::string ToJson(const Parameters& parameters, const Outcome& outcome);

// For people: the parameters first.
[[nodiscard]] std::string ToTable(const Parameters& parameters, const Outcome& outcome);

}  // namespace dotagent::simulation

#endif  // DOTAGENT_TESTS_SIMULATION_OUTCOME_H_
