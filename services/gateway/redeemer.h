// Where a gateway has the uses of capability tokens counted: at identity (dotagent.identity.v1, Redeem).
#ifndef DOTAGENT_SERVICES_GATEWAY_REDEEMER_H_
#define DOTAGENT_SERVICES_GATEWAY_REDEEMER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/rpc/call.h"
#include "common/rpc/channel.h"

namespace dotagent::gateway_service {

// On the loop; callbacks never from inside the call.
class Redeemer {
 public:
  virtual ~Redeemer() = default;

  // One use of a token that was checked. The same `id` again takes nothing more. ResourceExhausted (USED_UP),
  // PermissionDenied (TOKEN_REVOKED, KEY_REVOKED), or Unavailable if identity does not answer.
  virtual void Redeem(const std::string& token, const std::string& id, std::function<void(absl::Status)> done) = 0;
  // Nothing is called after. Not from the loop.
  virtual void Shutdown() = 0;
};

// `channel`: to identity; must outlive it. Without one, for a gateway that has no identity, every use is refused with
// FailedPrecondition.
[[nodiscard]] std::unique_ptr<Redeemer> NewIdentityRedeemer(rpc::Channel* channel, rpc::Executor post);

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_REDEEMER_H_
