#include "services/resolver/network_options.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/dht/types.h"
#include "common/telemetry/log.h"
#include "services/host/node_key.h"

namespace dotagent::resolver_service {
namespace {

constexpr char kRegistrarRow[] = "resolver/registrar";
constexpr char kSolutionRow[] = "resolver/puzzle-solution";
constexpr absl::Duration kIdentityPatience = absl::Minutes(1);

absl::Status BadOption(const std::string& what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kLimit, what);
}

absl::Status CheckRange(absl::string_view option, uint64_t value, uint64_t min, uint64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return BadOption(absl::StrCat("--", option, " ", value, " is out of range; give ", min, " to ", max));
}

absl::StatusOr<dht::NamePolicy> CheckRegistrars(const std::vector<std::string>& registrars) {
  dht::NamePolicy policy;
  for (const std::string& registrar : registrars) {
    const auto key = crypto::KeyFromPeerId(registrar);
    if (!key.ok()) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                             absl::StrCat("--registrar ", registrar,
                                          " is no peer id, such as 12D3KooW…; an identity service's is in `dotagent "
                                          "status --with-identity`, any key's in `dotagent id`"));
    }
    policy.registrars.push_back(*key);
  }
  return policy;
}

}  // namespace

void NetworkOptions::AddTo(OptionTable& table) {
  table.Add("name-policy", &name_policy,
            "Whose a name is: first-claim, his who registers it first; or registrar, his whom a registrar certified. "
            "The same at every node of a network");
  table.Add(
      "registrar", &registrars,
      "Peer id of a registrar whose certificates count; repeatable; none with --name-policy registrar: --identity");
  table.Add("puzzle-static-bits", &puzzle_static_bits,
            "Work that a node's key must have cost, 0 to 32: 2^bits keys. The same at every node of a network");
  table.Add("puzzle-dynamic-bits", &puzzle_dynamic_bits,
            "Work that a node must have done for its id, 0 to 40: 2^bits hashes. The same at every node of a network");
  table.Add("disjoint-paths", &disjoint_paths,
            "Paths of a lookup that share no node, 1 to 20: more stand more hostile nodes, and cost more calls");
  table.Add("max-nodes-per-ip-group-in-bucket", &max_per_ip_group_in_bucket,
            "Nodes of one public network (/16 of IPv4, /32 of IPv6) in a bucket of the routing table; 0: any number");
  table.Add("max-nodes-per-ip-group-in-table", &max_per_ip_group_in_table, "The same for the whole table");
}

absl::StatusOr<NetworkSettings> CheckNetworkOptions(const NetworkOptions& options) {
  NetworkSettings settings;
  settings.registrar_decides = options.name_policy == "registrar";
  if (!settings.registrar_decides && options.name_policy != "first-claim") {
    return BadOption(absl::StrCat("--name-policy ", options.name_policy, " is neither first-claim nor registrar"));
  }
  if (!settings.registrar_decides && !options.registrars.empty()) {
    return BadOption(
        "--registrar is given, but with --name-policy first-claim no registrar counts; give --name-policy "
        "registrar, or no --registrar");
  }
  RETURN_IF_ERROR(CheckRange("puzzle-static-bits", options.puzzle_static_bits, 0, dht::kMaxStaticBits));
  RETURN_IF_ERROR(CheckRange("puzzle-dynamic-bits", options.puzzle_dynamic_bits, 0, dht::kMaxDynamicBits));
  RETURN_IF_ERROR(CheckRange("disjoint-paths", options.disjoint_paths, 1, dht::kBucketSize));
  ASSIGN_OR_RETURN(settings.policy, CheckRegistrars(options.registrars));
  settings.puzzle = {.static_bits = static_cast<int>(options.puzzle_static_bits),
                     .dynamic_bits = static_cast<int>(options.puzzle_dynamic_bits)};
  settings.paths = options.disjoint_paths;
  settings.table.max_per_group_in_bucket = options.max_per_ip_group_in_bucket;
  settings.table.max_per_group_in_table = options.max_per_ip_group_in_table;
  return settings;
}

absl::StatusOr<crypto::PublicKey> IdentityAsRegistrar(host::Host& host, const std::string& identity) {
  if (identity.empty()) {
    return BadOption(
        "--name-policy registrar needs to know whom to believe: give the peer id of each registrar with "
        "--registrar, or --identity, which is then the only one");
  }
  const absl::StatusOr<std::string> kept = host.store().Get(kRegistrarRow);
  if (kept.ok()) return crypto::PublicKey::FromBytes(*kept);
  if (!absl::IsNotFound(kept.status())) return kept.status();
  ASSIGN_OR_RETURN(const std::unique_ptr<rpc::Channel> channel, host.Dial(identity));
  const absl::Status ready = channel->WaitUntilReady(kIdentityPatience);
  if (!ready.ok()) {
    return WithContext(ready, absl::StrCat("identity at ", identity,
                                           " is to be the registrar, and must answer at this resolver's first start"));
  }
  ASSIGN_OR_RETURN(const identity::PeerCertificate server, channel->server());
  RETURN_IF_ERROR(host.store().Put(kRegistrarRow, std::string(server.node_key.bytes()), storage::Durability::kSync));
  return server.node_key;
}

absl::StatusOr<uint64_t> OwnPuzzleSolution(host::Host& host, int bits) {
  if (bits == 0) return 0;
  const dht::Id self = dht::Id::OfNode(host.key().public_key());
  uint64_t solution = 0;
  const absl::StatusOr<std::string> kept = host.store().Get(kSolutionRow);
  if (kept.ok() && absl::SimpleAtoi(*kept, &solution) && dht::SolvesDynamic(self, solution, bits)) return solution;
  telemetry::Log(telemetry::Level::kInfo, "solving the dynamic puzzle", {{"bits", absl::StrCat(bits)}});
  ASSIGN_OR_RETURN(solution, dht::SolveDynamic(self, bits, host.random(),
                                               host::LoggedProgress("the dynamic puzzle", bits, host.clock())));
  RETURN_IF_ERROR(host.store().Put(kSolutionRow, absl::StrCat(solution), storage::Durability::kSync));
  return solution;
}

}  // namespace dotagent::resolver_service
