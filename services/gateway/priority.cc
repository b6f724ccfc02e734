#include "services/gateway/priority.h"

#include "dotagent/gateway/v1/gateway.pb.h"

namespace dotagent::gateway_service {

abuse::Priority PriorityOf(int envelope) {
  switch (envelope) {
    case gateway::v1::PRIORITY_LOW:
      return abuse::Priority::kLow;
    case gateway::v1::PRIORITY_HIGH:
      return abuse::Priority::kHigh;
    case gateway::v1::PRIORITY_CRITICAL:
      return abuse::Priority::kCritical;
    default:
      return abuse::Priority::kNormal;
  }
}

session::Priority LevelOf(int envelope) {
  switch (PriorityOf(envelope)) {
    case abuse::Priority::kLow:
      return session::Priority::kLow;
    case abuse::Priority::kNormal:
      return session::Priority::kNormal;
    case abuse::Priority::kHigh:
      return session::Priority::kHigh;
    case abuse::Priority::kCritical:
      return session::Priority::kCritical;
  }
  return session::Priority::kNormal;
}

}  // namespace dotagent::gateway_service
