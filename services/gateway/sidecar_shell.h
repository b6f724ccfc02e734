// SidecarService's gRPC methods: each hands its call to the sidecar on the gateway's loop.
#ifndef DOTAGENT_SERVICES_GATEWAY_SIDECAR_SHELL_H_
#define DOTAGENT_SERVICES_GATEWAY_SIDECAR_SHELL_H_

#include "common/base/clock.h"
#include "common/p2p/loop.h"
#include "common/rpc/call.h"
#include "dotagent/sidecar/v1/sidecar.grpc.pb.h"
#include "services/gateway/sidecar.h"

namespace dotagent::gateway_service {

// Subscribe is raw, as GatewayService's: the bytes are the same.
class SidecarShell : public sidecar::v1::SidecarService::WithRawCallbackMethod_Subscribe<
                         sidecar::v1::SidecarService::CallbackService> {
 public:
  // All must outlive every call. `loop` is where `sidecar` lives.
  SidecarShell(Sidecar& sidecar, p2p::Loop& loop, const Clock& clock);

  grpc::ServerUnaryReactor* GetAgent(grpc::CallbackServerContext* context, const sidecar::v1::GetAgentRequest* request,
                                     sidecar::v1::GetAgentResponse* response) override;
  grpc::ServerUnaryReactor* Send(grpc::CallbackServerContext* context, const sidecar::v1::SendRequest* request,
                                 sidecar::v1::SendResponse* response) override;
  grpc::ServerUnaryReactor* Request(grpc::CallbackServerContext* context, const sidecar::v1::RequestRequest* request,
                                    sidecar::v1::RequestResponse* response) override;
  grpc::ServerBidiReactor<sidecar::v1::ListenRequest, sidecar::v1::ListenResponse>* Listen(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Publish(grpc::CallbackServerContext* context, const sidecar::v1::PublishRequest* request,
                                    sidecar::v1::PublishResponse* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Subscribe(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request) override;

 private:
  Sidecar& sidecar_;
  p2p::Loop& loop_;
  const rpc::Executor post_;
  const Clock& clock_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_SIDECAR_SHELL_H_
