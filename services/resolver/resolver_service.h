// The resolver: a server of the DHT, and the door to it for the other services of its deployment.
//
//   auto service = resolver_service::Start({.host = {.data_dir = "/var/lib/dotagent"}, .bootstrap =
//   {"/ip4/192.0.2.1/tcp/4001"}});
#ifndef DOTAGENT_SERVICES_RESOLVER_RESOLVER_SERVICE_H_
#define DOTAGENT_SERVICES_RESOLVER_RESOLVER_SERVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/config.h"
#include "services/host/host.h"
#include "services/resolver/network_options.h"

namespace dotagent::resolver_service {

struct Options {
  host::HostOptions host;
  std::vector<std::string> bootstrap;  // --bootstrap: multiaddrs; none: the first node of its network
  bool mdns = false;                   // --mdns: announce itself and find others on the link
  std::string identity;                // --identity: host:port of identity, for revocations; empty: DHT only
  NetworkOptions network;

  void AddTo(OptionTable& table);
};

[[nodiscard]] absl::StatusOr<std::unique_ptr<host::Service>> Start(const Options& options);

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_RESOLVER_SERVICE_H_
