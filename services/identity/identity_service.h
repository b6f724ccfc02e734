// Identity: certificates for agents, revocations for everyone.
#ifndef DOTAGENT_SERVICES_IDENTITY_IDENTITY_SERVICE_H_
#define DOTAGENT_SERVICES_IDENTITY_IDENTITY_SERVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/config.h"
#include "services/host/host.h"
#include "services/identity/stranger_limits.h"

namespace dotagent::identity_service {

struct Options {
  host::HostOptions host;
  std::string resolver;  // --resolver: host:port; names are checked and revocations published there. Empty:
                         // certificates are refused
  // --name-policy, as at the resolvers: first-claim, whoever holds a name by the DHT gets a certificate; registrar,
  // this service decides who gets the name.
  std::string name_policy = "first-claim";
  std::string trust_domain = "dotagent.local";            // --trust-domain
  absl::Duration certificate_lifetime = absl::Hours(24);  // --certificate-lifetime
  StrangerLimits strangers;                               // --stranger-revocation-rate, -burst and -bytes
  std::vector<std::string> redeemers;  // --redeemer: peer ids of the deployment's gateways. None: every node may redeem

  void AddTo(OptionTable& table);
};

[[nodiscard]] absl::StatusOr<std::unique_ptr<host::Service>> Start(const Options& options);

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_SERVICES_IDENTITY_IDENTITY_SERVICE_H_
