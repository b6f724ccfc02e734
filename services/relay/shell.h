// The relay's gRPC methods, for callers inside the deployment: the caller is the node key in its TLS certificate.
#ifndef DOTAGENT_SERVICES_RELAY_SHELL_H_
#define DOTAGENT_SERVICES_RELAY_SHELL_H_

#include <functional>
#include <utility>

#include "common/base/clock.h"
#include "common/rpc/call.h"
#include "dotagent/relay/v1/relay.grpc.pb.h"
#include "services/relay/relay.h"

namespace dotagent::relay_service {

class Shell : public relay::v1::RelayService::CallbackService {
 public:
  // `status` runs on the loop, where `relay` lives. All must outlive every call.
  Shell(Relay& relay, std::function<relay::v1::GetStatusResponse()> status, rpc::Executor post, const Clock& clock)
      : relay_(relay), status_(std::move(status)), post_(std::move(post)), clock_(clock) {}

  grpc::ServerWriteReactor<relay::v1::ReserveResponse>* Reserve(grpc::CallbackServerContext* context,
                                                                const relay::v1::ReserveRequest* request) override;
  grpc::ServerUnaryReactor* Connect(grpc::CallbackServerContext* context, const relay::v1::ConnectRequest* request,
                                    relay::v1::ConnectResponse* response) override;
  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context, const relay::v1::GetStatusRequest* request,
                                      relay::v1::GetStatusResponse* response) override;

 private:
  Relay& relay_;
  const std::function<relay::v1::GetStatusResponse()> status_;
  const rpc::Executor post_;
  const Clock& clock_;
};

}  // namespace dotagent::relay_service

#endif  // DOTAGENT_SERVICES_RELAY_SHELL_H_
