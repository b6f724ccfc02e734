// Whom limits by address count as one caller of a gRPC method.
#ifndef DOTAGENT_SERVICES_HOST_CALLER_ADDRESS_H_
#define DOTAGENT_SERVICES_HOST_CALLER_ADDRESS_H_

#include <grpcpp/server_context.h>

#include <string>

namespace dotagent::host {

// The group (common/p2p/address_group.h) of the address that the call comes from; empty for a socket that has none.
[[nodiscard]] std::string CallerAddress(const grpc::ServerContextBase& context);

}  // namespace dotagent::host

#endif  // DOTAGENT_SERVICES_HOST_CALLER_ADDRESS_H_
