// What all nodes of a network must agree on, and how nodes of other networks are kept apart.
//
// Nodes with different rules cannot make one network: they would disagree on whose a name is, and those with the harder
// puzzles would take nobody in. So the rules are a part of the name of the protocol that nodes speak. Who has others is
// answered that the protocol is unknown, whichever of the two calls, and never enters a table: a node that was
// configured wrongly finds out at once, and does no harm. It can tell its operator that the rules differ, not how.
//
// A change of the rules is a new network. While its nodes are restarted one after the other there are two, each with a
// part of the names; the last restart ends that, since the nodes keep what they store.
#ifndef DOTAGENT_COMMON_DHT_NETWORK_RULES_H_
#define DOTAGENT_COMMON_DHT_NETWORK_RULES_H_

#include <string>

#include "common/dht/puzzle.h"
#include "common/dht/value_type.h"

namespace dotagent::dht {

// kProtocolId for the first-claim policy without puzzles. Otherwise behind it "/registrar/" and 16 hexadecimal digits,
// the first 8 bytes of the SHA-256 over the registrars' public keys in ascending order; and "/puzzle/S/D", the bits of
// the static and of the dynamic puzzle. The order of the registrars does not matter, nor naming one twice.
[[nodiscard]] std::string ProtocolIdOf(const NamePolicy& policy, const PuzzleDifficulty& puzzle);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_NETWORK_RULES_H_
