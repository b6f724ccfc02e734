// Lets one of gRPC's threads do what one can do.
//
// The callbacks of gRPC 1.51 run on threads that all wait for the next event (half as many as there are cores, but two
// at least). Whoever gets one wakes another to wait in its place; and each message that a callback sends is an event
// too, that wakes one more. So a message that a gateway passes on woke its threads four times, with a dozen system
// calls, while it and those that it is for wanted the cores.
//
// Here they take turns by duty_roster.h: while one is enough the others stand by, and none is woken for what that one
// will see when it is done. It stands in front of grpc_completion_queue_next, a function of gRPC's public interface,
// and knows the threads by the name that gRPC gives them; where they are called otherwise, all is as gRPC has it.
// Decision 0032 has the figures.
#ifndef DOTAGENT_COMMON_RPC_POLLER_CREW_H_
#define DOTAGENT_COMMON_RPC_POLLER_CREW_H_

#include "absl/status/status.h"

namespace dotagent::rpc {

// OK if it stands where gRPC calls it. Internal if not: the program was linked in a way that leaves it out. Referring
// to this function is what links it in.
[[nodiscard]] absl::Status CheckPollerCrew();

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_POLLER_CREW_H_
