// What an operator may set of the DHT: the rules that all nodes of a network share, and this node's own care.
#ifndef DOTAGENT_SERVICES_RESOLVER_NETWORK_OPTIONS_H_
#define DOTAGENT_SERVICES_RESOLVER_NETWORK_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/config.h"
#include "common/dht/puzzle.h"
#include "common/dht/routing_table.h"
#include "common/dht/value_type.h"
#include "services/host/host.h"

namespace dotagent::resolver_service {

struct NetworkOptions {
  // The same at every node of a network (dht/network_rules.h says what happens otherwise).
  std::string name_policy = "first-claim";  // --name-policy: first-claim or registrar
  std::vector<std::string> registrars;      // --registrar: peer ids
  uint64_t puzzle_static_bits = 0;          // --puzzle-static-bits
  uint64_t puzzle_dynamic_bits = 0;         // --puzzle-dynamic-bits
  // Each node's own choice.
  uint64_t disjoint_paths = 8;              // --disjoint-paths
  uint64_t max_per_ip_group_in_bucket = 2;  // --max-nodes-per-ip-group-in-bucket; 0: any number
  uint64_t max_per_ip_group_in_table = 3;   // --max-nodes-per-ip-group-in-table; 0: any number

  void AddTo(OptionTable& table);
};

// The same, checked and as the DHT takes it.
struct NetworkSettings {
  bool registrar_decides = false;  // whose a name is; by `policy`, or, where that names nobody, by identity
  dht::NamePolicy policy;
  dht::PuzzleDifficulty puzzle;
  size_t paths = 8;
  dht::RoutingTableOptions table;
};

// InvalidArgument names the option, and what it may be.
[[nodiscard]] absl::StatusOr<NetworkSettings> CheckNetworkOptions(const NetworkOptions& options);

// Of a resolver without --registrar: the key of its deployment's identity, from the data folder or, the first time,
// from identity itself, which is then believed as every service is at its first contact (docs/adr/0003). Unavailable
// (UNREACHABLE) if it does not answer within a minute.
[[nodiscard]] absl::StatusOr<crypto::PublicKey> IdentityAsRegistrar(host::Host& host, const std::string& identity);

// What solves this node's dynamic puzzle: from the data folder, or found now, which may take long and is logged.
[[nodiscard]] absl::StatusOr<uint64_t> OwnPuzzleSolution(host::Host& host, int bits);

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_NETWORK_OPTIONS_H_
