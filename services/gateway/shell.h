// The gateway's gRPC methods: each takes the token from the metadata and hands the call to the gateway on its loop.
#ifndef DOTAGENT_SERVICES_GATEWAY_SHELL_H_
#define DOTAGENT_SERVICES_GATEWAY_SHELL_H_

#include <string>

#include "common/base/clock.h"
#include "common/p2p/loop.h"
#include "common/rpc/call.h"
#include "common/telemetry/metrics.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"
#include "services/gateway/gateway.h"

namespace dotagent::gateway_service {

// Subscribe is raw: its responses are bytes that many calls share (event_stream.h).
class Shell : public gateway::v1::GatewayService::WithRawCallbackMethod_Subscribe<
                  gateway::v1::GatewayService::CallbackService> {
 public:
  // All must outlive every call. `loop` is where `gateway` lives. `local_token`: the token of every call, whatever it
  // brings: of a socket that only one agent reaches (sidecar.h).
  Shell(Gateway& gateway, p2p::Loop& loop, const Clock& clock, telemetry::Metrics& metrics,
        std::string local_token = "");

  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context, const gateway::v1::GetInfoRequest* request,
                                    gateway::v1::GetInfoResponse* response) override;
  grpc::ServerUnaryReactor* Negotiate(grpc::CallbackServerContext* context,
                                      const gateway::v1::NegotiateRequest* request,
                                      gateway::v1::NegotiateResponse* response) override;
  grpc::ServerUnaryReactor* Challenge(grpc::CallbackServerContext* context,
                                      const gateway::v1::ChallengeRequest* request,
                                      gateway::v1::ChallengeResponse* response) override;
  grpc::ServerUnaryReactor* Authenticate(grpc::CallbackServerContext* context,
                                         const gateway::v1::AuthenticateRequest* request,
                                         gateway::v1::AuthenticateResponse* response) override;
  grpc::ServerUnaryReactor* Register(grpc::CallbackServerContext* context, const gateway::v1::RegisterRequest* request,
                                     gateway::v1::RegisterResponse* response) override;
  grpc::ServerUnaryReactor* Resolve(grpc::CallbackServerContext* context, const gateway::v1::ResolveRequest* request,
                                    gateway::v1::ResolveResponse* response) override;
  grpc::ServerUnaryReactor* SetInboxPolicy(grpc::CallbackServerContext* context,
                                           const gateway::v1::SetInboxPolicyRequest* request,
                                           gateway::v1::SetInboxPolicyResponse* response) override;
  grpc::ServerUnaryReactor* GetRotation(grpc::CallbackServerContext* context,
                                        const gateway::v1::GetRotationRequest* request,
                                        gateway::v1::GetRotationResponse* response) override;
  grpc::ServerUnaryReactor* Send(grpc::CallbackServerContext* context, const gateway::v1::SendRequest* request,
                                 gateway::v1::SendResponse* response) override;
  grpc::ServerUnaryReactor* ListDeadLetters(grpc::CallbackServerContext* context,
                                            const gateway::v1::ListDeadLettersRequest* request,
                                            gateway::v1::ListDeadLettersResponse* response) override;
  grpc::ServerUnaryReactor* Request(grpc::CallbackServerContext* context, const gateway::v1::RequestRequest* request,
                                    gateway::v1::RequestResponse* response) override;
  grpc::ServerBidiReactor<gateway::v1::AskRequest, gateway::v1::AskResponse>* Ask(
      grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<gateway::v1::InboxRequest, gateway::v1::InboxResponse>* Inbox(
      grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<gateway::v1::OpenChannelRequest, gateway::v1::OpenChannelResponse>* OpenChannel(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Publish(grpc::CallbackServerContext* context, const gateway::v1::PublishRequest* request,
                                    gateway::v1::PublishResponse* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Subscribe(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* GetStanding(grpc::CallbackServerContext* context,
                                        const gateway::v1::GetStandingRequest* request,
                                        gateway::v1::GetStandingResponse* response) override;
  grpc::ServerUnaryReactor* AckPublications(grpc::CallbackServerContext* context,
                                            const gateway::v1::AckPublicationsRequest* request,
                                            gateway::v1::AckPublicationsResponse* response) override;
  grpc::ServerUnaryReactor* ListSubscriptions(grpc::CallbackServerContext* context,
                                              const gateway::v1::ListSubscriptionsRequest* request,
                                              gateway::v1::ListSubscriptionsResponse* response) override;
  grpc::ServerUnaryReactor* Unsubscribe(grpc::CallbackServerContext* context,
                                        const gateway::v1::UnsubscribeRequest* request,
                                        gateway::v1::UnsubscribeResponse* response) override;

 private:
  [[nodiscard]] std::string TokenOf(const grpc::CallbackServerContext& context) const;
  // rpc::Unary that also measures the call.
  template <typename Response, typename Start>
  grpc::ServerUnaryReactor* Measured(grpc::CallbackServerContext* context, Response* response,
                                     telemetry::Histogram& seconds, Start start);
  // The same for what needs nothing of the loop: answered on gRPC's thread, at once.
  template <typename Response, typename Answer>
  grpc::ServerUnaryReactor* MeasuredHere(grpc::CallbackServerContext* context, Response* response,
                                         telemetry::Histogram& seconds, Answer answer);

  Gateway& gateway_;
  p2p::Loop& loop_;
  const rpc::Executor post_;
  const Clock& clock_;
  const std::string local_token_;
  telemetry::Histogram& get_info_seconds_;
  telemetry::Histogram& negotiate_seconds_;
  telemetry::Histogram& challenge_seconds_;
  telemetry::Histogram& authenticate_seconds_;
  telemetry::Histogram& register_seconds_;
  telemetry::Histogram& resolve_seconds_;
  telemetry::Histogram& get_rotation_seconds_;
  telemetry::Histogram& send_seconds_;
  telemetry::Histogram& request_seconds_;
  telemetry::Histogram& set_inbox_policy_seconds_;
  telemetry::Histogram& list_dead_letters_seconds_;
  telemetry::Histogram& publish_seconds_;
  telemetry::Histogram& get_standing_seconds_;
  telemetry::Histogram& ack_publications_seconds_;
  telemetry::Histogram& list_subscriptions_seconds_;
  telemetry::Histogram& unsubscribe_seconds_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_SHELL_H_
