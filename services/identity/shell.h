// Identity's gRPC methods: each hands its request to the handler on the service's loop.
#ifndef DOTAGENT_SERVICES_IDENTITY_SHELL_H_
#define DOTAGENT_SERVICES_IDENTITY_SHELL_H_

#include "common/base/clock.h"
#include "common/rpc/call.h"
#include "common/rpc/peer_keys.h"
#include "dotagent/identity/v1/identity.grpc.pb.h"
#include "services/identity/handler.h"

namespace dotagent::identity_service {

class Shell : public identity::v1::IdentityService::CallbackService {
 public:
  // `handler` must outlive every call.
  Shell(Handler& handler, rpc::Executor post, const Clock& clock)
      : handler_(handler), post_(std::move(post)), callers_(clock) {}

  grpc::ServerUnaryReactor* Challenge(grpc::CallbackServerContext* context,
                                      const identity::v1::ChallengeRequest* request,
                                      identity::v1::ChallengeResponse* response) override;
  grpc::ServerUnaryReactor* IssueCertificate(grpc::CallbackServerContext* context,
                                             const identity::v1::IssueCertificateRequest* request,
                                             identity::v1::IssueCertificateResponse* response) override;
  grpc::ServerUnaryReactor* GetTrustBundle(grpc::CallbackServerContext* context,
                                           const identity::v1::GetTrustBundleRequest* request,
                                           identity::v1::GetTrustBundleResponse* response) override;
  grpc::ServerUnaryReactor* Revoke(grpc::CallbackServerContext* context, const identity::v1::RevokeRequest* request,
                                   identity::v1::RevokeResponse* response) override;
  grpc::ServerUnaryReactor* RevokeToken(grpc::CallbackServerContext* context,
                                        const identity::v1::RevokeTokenRequest* request,
                                        identity::v1::RevokeTokenResponse* response) override;
  grpc::ServerUnaryReactor* Redeem(grpc::CallbackServerContext* context, const identity::v1::RedeemRequest* request,
                                   identity::v1::RedeemResponse* response) override;
  grpc::ServerUnaryReactor* GetKeyStatus(grpc::CallbackServerContext* context,
                                         const identity::v1::GetKeyStatusRequest* request,
                                         identity::v1::GetKeyStatusResponse* response) override;
  grpc::ServerWriteReactor<identity::v1::WatchRevocationsResponse>* WatchRevocations(
      grpc::CallbackServerContext* context, const identity::v1::WatchRevocationsRequest* request) override;

 private:
  Handler& handler_;
  const rpc::Executor post_;
  rpc::PeerKeys callers_;
};

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_SERVICES_IDENTITY_SHELL_H_
