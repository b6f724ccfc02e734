// The priority that a message's envelope carries (gateway.v1.Priority), as those read it who act on it: whoever sheds
// load, and the sessions that carry it. It is not signed; who sends urgent messages pays more for them (admission.h).
#ifndef DOTAGENT_SERVICES_GATEWAY_PRIORITY_H_
#define DOTAGENT_SERVICES_GATEWAY_PRIORITY_H_

#include "common/abuse/overload.h"
#include "common/session/types.h"

namespace dotagent::gateway_service {

// What is none that we know is normal: peers may be newer.
[[nodiscard]] abuse::Priority PriorityOf(int envelope);
// The level of a stream that carries such a message.
[[nodiscard]] session::Priority LevelOf(int envelope);

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_PRIORITY_H_
