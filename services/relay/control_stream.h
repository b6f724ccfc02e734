// The relay's control protocol on streams of sessions, for nodes outside the deployment
// (protos/dotagent/relay/v1/control.proto). The session has proved the caller's key.
#ifndef DOTAGENT_SERVICES_RELAY_CONTROL_STREAM_H_
#define DOTAGENT_SERVICES_RELAY_CONTROL_STREAM_H_

#include <asio/any_io_executor.hpp>

#include "common/p2p/node.h"
#include "services/relay/relay.h"

namespace dotagent::relay_service {

// Answers the protocol on the node's port. All must outlive the node's sessions.
void ServeControl(const asio::any_io_executor& executor, p2p::Node& node, Relay& relay);

}  // namespace dotagent::relay_service

#endif  // DOTAGENT_SERVICES_RELAY_CONTROL_STREAM_H_
