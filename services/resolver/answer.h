// What a lookup found under a name, verified, and what speaks for it.
#ifndef DOTAGENT_SERVICES_RESOLVER_ANSWER_H_
#define DOTAGENT_SERVICES_RESOLVER_ANSWER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/dht/types.h"
#include "common/identity/agent_id.h"
#include "common/record/record.h"

namespace dotagent::resolver_service {

template <typename T>
using Callback = std::function<void(absl::StatusOr<T>)>;

// A node's signed word that it has known the name as this owner's since then.
struct Receipt {
  dht::Id node;
  absl::Time first_seen;
  std::string signature;
};

// Immutable once it is in the cache, and shared by all who answer from it.
struct Answer {
  record::Record record;
  identity::AgentId owner;
  bool from_own_store = false;
  uint32_t hops = 0;
  uint32_t messages = 0;
  uint32_t agreeing_nodes = 0;
  uint32_t paths_agreed = 0;
  std::vector<Receipt> receipts;
};

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_ANSWER_H_
