// Where an agent lives: the gateways that its record lists; and, if this one is part of a cluster, at which of the
// members its inbox is.
#ifndef DOTAGENT_SERVICES_GATEWAY_HOMES_H_
#define DOTAGENT_SERVICES_GATEWAY_HOMES_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/crypto/keys.h"
#include "common/p2p/node.h"
#include "common/record/name.h"
#include "common/record/record.h"
#include "dotagent/trunk/v1/trunk.pb.h"
#include "services/gateway/requests.h"

namespace dotagent::gateway_service {

// The gateways of a record in its order, one entry a peer id, each with all of its addresses: at most 3, so that a
// hostile record cannot make this gateway dial a list of victims. FailedPrecondition (BAD_ADDRESS) if the record lists
// none that names its peer.
[[nodiscard]] absl::StatusOr<std::vector<p2p::PeerAddress>> GatewaysOf(const record::Record& record);

// The record lists the gateway with this key.
[[nodiscard]] bool LivesAt(const record::Record& record, const crypto::PublicKey& gateway);

// Another gateway of this one's cluster. It takes what it is given for inboxes, and passes nothing on: so no two
// members that think differently of where an inbox is send a message to and fro.
class FellowGateway {
 public:
  virtual ~FellowGateway() = default;
  [[nodiscard]] virtual const p2p::PeerAddress& address() const = 0;
  // As Trunk.
  virtual void Deliver(const trunk::v1::DeliverRequest& request,
                       std::function<void(absl::StatusOr<bool> duplicate)> done) = 0;
  virtual void Request(const trunk::v1::RequestCall& call, std::function<void(absl::StatusOr<Answer>)> done) = 0;
};

// On the loop.
class Homes {
 public:
  virtual ~Homes() = default;
  // The record lists this gateway, or another of its cluster: whatever is for the agent is this cluster's business.
  [[nodiscard]] virtual bool LivesHere(const record::Record& record) const = 0;
  // Where the inbox of a name is that lives here: nullptr for this very gateway. Unavailable (UNREACHABLE) while this
  // gateway does not know.
  [[nodiscard]] virtual absl::StatusOr<std::shared_ptr<FellowGateway>> HomeOf(const record::Name& name) const = 0;
  // This key has proved to be another gateway of the cluster.
  [[nodiscard]] virtual bool IsFellow(const crypto::PublicKey& gateway) const = 0;
};

// Of a gateway without a cluster.
class LoneHome : public Homes {
 public:
  explicit LoneHome(const crypto::PublicKey& self) : self_(self) {}
  [[nodiscard]] bool LivesHere(const record::Record& record) const override { return LivesAt(record, self_); }
  [[nodiscard]] absl::StatusOr<std::shared_ptr<FellowGateway>> HomeOf(const record::Name&) const override {
    return nullptr;
  }
  [[nodiscard]] bool IsFellow(const crypto::PublicKey&) const override { return false; }

 private:
  const crypto::PublicKey self_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_HOMES_H_
