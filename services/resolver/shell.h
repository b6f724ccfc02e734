// The resolver's gRPC methods: each hands its request to the handler on the service's loop. A Resolve that the cache
// can answer never goes there: gRPC's own thread answers it, since crossing to another thread and back costs more than
// the answer.
#ifndef DOTAGENT_SERVICES_RESOLVER_SHELL_H_
#define DOTAGENT_SERVICES_RESOLVER_SHELL_H_

#include <functional>

#include "common/rpc/call.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"
#include "services/resolver/handler.h"

namespace dotagent::resolver_service {

class Shell : public resolver::v1::ResolverService::CallbackService {
 public:
  // `status` runs on the loop. Both must outlive every call.
  Shell(Handler& handler, std::function<resolver::v1::GetStatusResponse()> status, rpc::Executor post)
      : handler_(handler), status_(std::move(status)), post_(std::move(post)) {}

  grpc::ServerUnaryReactor* Publish(grpc::CallbackServerContext* context, const resolver::v1::PublishRequest* request,
                                    resolver::v1::PublishResponse* response) override;
  grpc::ServerUnaryReactor* Resolve(grpc::CallbackServerContext* context, const resolver::v1::ResolveRequest* request,
                                    resolver::v1::ResolveResponse* response) override;
  grpc::ServerUnaryReactor* BatchResolve(grpc::CallbackServerContext* context,
                                         const resolver::v1::BatchResolveRequest* request,
                                         resolver::v1::BatchResolveResponse* response) override;
  grpc::ServerWriteReactor<resolver::v1::WatchResponse>* Watch(grpc::CallbackServerContext* context,
                                                               const resolver::v1::WatchRequest* request) override;
  grpc::ServerUnaryReactor* PublishRotation(grpc::CallbackServerContext* context,
                                            const resolver::v1::PublishRotationRequest* request,
                                            resolver::v1::PublishRotationResponse* response) override;
  grpc::ServerUnaryReactor* GetRotation(grpc::CallbackServerContext* context,
                                        const resolver::v1::GetRotationRequest* request,
                                        resolver::v1::GetRotationResponse* response) override;
  grpc::ServerUnaryReactor* PublishRevocation(grpc::CallbackServerContext* context,
                                              const resolver::v1::PublishRevocationRequest* request,
                                              resolver::v1::PublishRevocationResponse* response) override;
  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const resolver::v1::GetStatusRequest* request,
                                      resolver::v1::GetStatusResponse* response) override;

 private:
  Handler& handler_;
  const std::function<resolver::v1::GetStatusResponse()> status_;
  const rpc::Executor post_;
};

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_SHELL_H_
