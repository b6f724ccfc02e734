// What dotagent-sim is asked to simulate.
#ifndef DOTAGENT_TESTS_SIMULATION_PARAMETERS_H_
#define DOTAGENT_TESTS_SIMULATION_PARAMETERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/config.h"

namespace dotagent::simulation {

// What a hostile node does. It is a member like any other (it joins, keeps a table, answers pings), and hostile from
// its first minute on.
enum class Behaviour {
  kDrop,      // answers nothing but pings
  kLie,       // names only hostile nodes, those nearest to the target; confirms what it is to store, and forgets it
  kWithhold,  // does all that is asked, but denies having values
  kPollute,   // as kLie, and calls everybody, so as to enter their tables
  kEclipse,   // as kLie, with a node id made to be nearest to the one name that is looked up
  kClaim,     // as kLie, and for every name answers with a record of the thief's
};

struct Parameters {
  uint64_t nodes = 1000;
  double hostile = 0;  // share of the nodes
  std::string behaviour = "drop,lie";
  double churn = 0;  // share of the nodes replaced in an hour
  double hours = 1;
  uint64_t lookups = 1000;
  uint64_t names = 0;  // 0: as many as lookups, but at most 10,000
  double absent = 0;   // share of lookups for names that nobody published
  std::string policy = "first-claim";
  uint64_t paths = 8;
  uint64_t puzzle_bits = 0;
  std::string latency_ms = "5:50";
  double loss = 0;
  uint64_t bootstrap = 8;  // nodes that a newcomer is told of
  absl::Duration ttl = absl::Hours(24);
  bool refresh = true;
  uint64_t seed = 1;
  uint64_t threads = 0;  // 0: a thread for each core
  bool json = false;
  bool progress = false;

  // Follow from the texts above.
  std::vector<Behaviour> behaviours;
  absl::Duration min_latency;
  absl::Duration max_latency;

  void AddTo(OptionTable* table);
  // Checks them, and fills in what follows. InvalidArgument says what is wrong.
  [[nodiscard]] absl::Status Complete();
};

}  // namespace dotagent::simulation

#endif  // DOTAGENT_TESTS_SIMULATION_PARAMETERS_H_
