// Where an agent lives: the gateways that its record lists.
#ifndef DOTAGENT_SERVICES_GATEWAY_HOMES_H_
#define DOTAGENT_SERVICES_GATEWAY_HOMES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "common/crypto/keys.h"
#include "common/p2p/node.h"
#include "common/record/record.h"

namespace dotagent::gateway_service {

// The gateways of a record in its order, one entry a peer id, each with all of its addresses: at most 3, so that a
// hostile record cannot make this gateway dial a list of victims. FailedPrecondition (BAD_ADDRESS) if the record lists
// none that names its peer.
[[nodiscard]] absl::StatusOr<std::vector<p2p::PeerAddress>> GatewaysOf(const record::Record& record);

// The record lists the gateway with this key.
[[nodiscard]] bool LivesAt(const record::Record& record, const crypto::PublicKey& gateway);

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_HOMES_H_
