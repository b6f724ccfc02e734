// Which of some nodes an id belongs to: highest random weight (Thaler & Ravishankar, "Using Name-Based Mappings to
// Increase Hit Rates", 1998). Everybody who knows the same nodes names the same one, without asking anybody; each node
// gets its share; one that leaves moves its own ids only, each to the node that was second, and one that comes takes
// its share from all.
//
// Departs from the paper in the weight: the first 8 bytes of SHA-256 over the node's key and the id, where they have a
// linear congruence of both. So who can choose ids cannot aim them at a node more cheaply than by trying.
#ifndef DOTAGENT_COMMON_P2P_RENDEZVOUS_H_
#define DOTAGENT_COMMON_P2P_RENDEZVOUS_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/crypto/keys.h"

namespace dotagent::p2p {

// The node with the highest weight; std::nullopt if there is none. The order of `nodes` does not matter. One SHA-256 a
// node, about 0.3 µs.
[[nodiscard]] std::optional<crypto::PublicKey> RendezvousNode(absl::string_view id,
                                                              absl::Span<const crypto::PublicKey> nodes);

// The `count` nodes of highest weight, that first; fewer if there are fewer.
[[nodiscard]] std::vector<crypto::PublicKey> RendezvousNodes(absl::string_view id,
                                                             absl::Span<const crypto::PublicKey> nodes, size_t count);

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_RENDEZVOUS_H_
