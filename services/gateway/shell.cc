#include "services/gateway/shell.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"
#include "services/gateway/bidi_stream.h"
#include "services/gateway/call_seconds.h"
#include "services/gateway/event_stream.h"
#include "services/host/caller_address.h"

namespace dotagent::gateway_service {
namespace {

namespace v1 = ::dotagent::gateway::v1;

// The token in `authorization: Bearer TOKEN`; empty if there is not exactly one.
std::string BearerToken(const grpc::CallbackServerContext& context) {
  constexpr absl::string_view kScheme = "bearer ";
  const auto& metadata = context.client_metadata();
  if (metadata.count("authorization") != 1) return "";
  const grpc::string_ref value = metadata.find("authorization")->second;
  const absl::string_view text(value.data(), value.size());
  if (!absl::StartsWithIgnoreCase(text, kScheme)) return "";
  return std::string(text.substr(kScheme.size()));
}

}  // namespace

Shell::Shell(Gateway& gateway, p2p::Loop& loop, const Clock& clock, telemetry::Metrics& metrics,
             std::string local_token)
    : gateway_(gateway),
      loop_(loop),
      post_([&loop](std::function<void()> work) { loop.Enter(std::move(work)); }),
      clock_(clock),
      local_token_(std::move(local_token)),
      get_info_seconds_(CallSeconds(metrics, "GetInfo")),
      negotiate_seconds_(CallSeconds(metrics, "Negotiate")),
      challenge_seconds_(CallSeconds(metrics, "Challenge")),
      authenticate_seconds_(CallSeconds(metrics, "Authenticate")),
      register_seconds_(CallSeconds(metrics, "Register")),
      resolve_seconds_(CallSeconds(metrics, "Resolve")),
      get_rotation_seconds_(CallSeconds(metrics, "GetRotation")),
      send_seconds_(CallSeconds(metrics, "Send")),
      request_seconds_(CallSeconds(metrics, "Request")),
      set_inbox_policy_seconds_(CallSeconds(metrics, "SetInboxPolicy")),
      list_dead_letters_seconds_(CallSeconds(metrics, "ListDeadLetters")),
      publish_seconds_(CallSeconds(metrics, "Publish")),
      get_standing_seconds_(CallSeconds(metrics, "GetStanding")),
      ack_publications_seconds_(CallSeconds(metrics, "AckPublications")),
      list_subscriptions_seconds_(CallSeconds(metrics, "ListSubscriptions")),
      unsubscribe_seconds_(CallSeconds(metrics, "Unsubscribe")) {}

std::string Shell::TokenOf(const grpc::CallbackServerContext& context) const {
  return local_token_.empty() ? BearerToken(context) : local_token_;
}

template <typename Response, typename Start>
grpc::ServerUnaryReactor* Shell::Measured(grpc::CallbackServerContext* context, Response* response,
                                          telemetry::Histogram& seconds, Start start) {
  const absl::Duration began = clock_.Elapsed();
  return rpc::Unary(context, post_, response,
                    [this, began, &seconds, start = std::move(start)](rpc::Done<Response> done) {
                      gateway_.admission().SawWait(clock_.Elapsed() - began);
                      start(rpc::Done<Response>([this, began, &seconds, done = std::move(done)](auto result) {
                        seconds.Observe(absl::ToDoubleSeconds(clock_.Elapsed() - began));
                        done(std::move(result));
                      }));
                    });
}

template <typename Response, typename Answer>
grpc::ServerUnaryReactor* Shell::MeasuredHere(grpc::CallbackServerContext* context, Response* response,
                                              telemetry::Histogram& seconds, Answer answer) {
  const absl::Duration began = clock_.Elapsed();
  absl::StatusOr<Response> result = answer();
  seconds.Observe(absl::ToDoubleSeconds(clock_.Elapsed() - began));
  return rpc::Finished(context, response, std::move(result));
}

grpc::ServerUnaryReactor* Shell::GetInfo(grpc::CallbackServerContext* context, const v1::GetInfoRequest*,
                                         v1::GetInfoResponse* response) {
  return Measured(context, response, get_info_seconds_, [this](auto done) { done(gateway_.GetInfo()); });
}

grpc::ServerUnaryReactor* Shell::Negotiate(grpc::CallbackServerContext* context, const v1::NegotiateRequest* request,
                                           v1::NegotiateResponse* response) {
  return MeasuredHere(context, response, negotiate_seconds_, [&] { return gateway_.Negotiate(*request); });
}

grpc::ServerUnaryReactor* Shell::Challenge(grpc::CallbackServerContext* context, const v1::ChallengeRequest* request,
                                           v1::ChallengeResponse* response) {
  return MeasuredHere(context, response, challenge_seconds_, [&]() -> absl::StatusOr<v1::ChallengeResponse> {
    RETURN_IF_ERROR(gateway_.admission().AdmitAddress(host::CallerAddress(*context), call_cost::kOne));
    return gateway_.authenticator().Challenge(*request);
  });
}

grpc::ServerUnaryReactor* Shell::Authenticate(grpc::CallbackServerContext* context,
                                              const v1::AuthenticateRequest* request,
                                              v1::AuthenticateResponse* response) {
  return MeasuredHere(context, response, authenticate_seconds_, [&]() -> absl::StatusOr<v1::AuthenticateResponse> {
    const std::string address = host::CallerAddress(*context);
    RETURN_IF_ERROR(gateway_.admission().AdmitAddress(address, call_cost::kOne));
    auto authenticated = gateway_.authenticator().Authenticate(*request);
    gateway_.admission().NoteProof(address, authenticated.status());
    return authenticated;
  });
}

grpc::ServerUnaryReactor* Shell::Register(grpc::CallbackServerContext* context, const v1::RegisterRequest* request,
                                          v1::RegisterResponse* response) {
  return Measured(context, response, register_seconds_, [this, request, token = TokenOf(*context)](auto done) {
    gateway_.Register(token, *request, std::move(done));
  });
}

grpc::ServerUnaryReactor* Shell::Resolve(grpc::CallbackServerContext* context, const v1::ResolveRequest* request,
                                         v1::ResolveResponse* response) {
  return Measured(context, response, resolve_seconds_, [this, request, token = TokenOf(*context)](auto done) {
    gateway_.Resolve(token, *request, std::move(done));
  });
}

grpc::ServerUnaryReactor* Shell::GetRotation(grpc::CallbackServerContext* context,
                                             const v1::GetRotationRequest* request, v1::GetRotationResponse* response) {
  return Measured(context, response, get_rotation_seconds_, [this, request, token = TokenOf(*context)](auto done) {
    gateway_.GetRotation(token, *request, std::move(done));
  });
}

grpc::ServerUnaryReactor* Shell::SetInboxPolicy(grpc::CallbackServerContext* context,
                                                const v1::SetInboxPolicyRequest* request,
                                                v1::SetInboxPolicyResponse* response) {
  return Measured(context, response, set_inbox_policy_seconds_, [this, request, token = TokenOf(*context)](auto done) {
    gateway_.SetInboxPolicy(token, *request, std::move(done));
  });
}

grpc::ServerUnaryReactor* Shell::Send(grpc::CallbackServerContext* context, const v1::SendRequest* request,
                                      v1::SendResponse* response) {
  return Measured(context, response, send_seconds_, [this, request, token = TokenOf(*context)](auto done) {
    gateway_.Send(token, *request, std::move(done));
  });
}

grpc::ServerUnaryReactor* Shell::ListDeadLetters(grpc::CallbackServerContext* context,
                                                 const v1::ListDeadLettersRequest* request,
                                                 v1::ListDeadLettersResponse* response) {
  return Measured(context, response, list_dead_letters_seconds_, [this, request, token = TokenOf(*context)](auto done) {
    gateway_.ListDeadLetters(token, *request, std::move(done));
  });
}

grpc::ServerUnaryReactor* Shell::Request(grpc::CallbackServerContext* context, const v1::RequestRequest* request,
                                         v1::RequestResponse* response) {
  // The wall clock's, as gRPC has it; what counts is how long is left.
  const absl::Duration left = rpc::TimeLeft(*context);
  return Measured(context, response, request_seconds_,
                  [this, request, deadline = clock_.Now() + left, token = TokenOf(*context)](auto done) {
                    gateway_.Request(token, *request, deadline, std::move(done));
                  });
}

grpc::ServerBidiReactor<v1::AskRequest, v1::AskResponse>* Shell::Ask(grpc::CallbackServerContext* context) {
  auto stream = GrpcBidiStream<v1::AskRequest, v1::AskResponse>::Create(
      context, loop_, [this](absl::Duration wait) { gateway_.admission().SawWait(wait); });
  post_([this, stream, token = TokenOf(*context)] { gateway_.Ask(token, stream); });
  return stream.get();
}

grpc::ServerBidiReactor<v1::InboxRequest, v1::InboxResponse>* Shell::Inbox(grpc::CallbackServerContext* context) {
  auto stream = GrpcBidiStream<v1::InboxRequest, v1::InboxResponse>::Create(context, loop_);
  post_([this, stream, token = TokenOf(*context)] { gateway_.Inbox(token, stream); });
  return stream.get();
}

grpc::ServerBidiReactor<v1::OpenChannelRequest, v1::OpenChannelResponse>* Shell::OpenChannel(
    grpc::CallbackServerContext* context) {
  auto stream = GrpcBidiStream<v1::OpenChannelRequest, v1::OpenChannelResponse>::Create(context, loop_);
  post_([this, stream, token = TokenOf(*context)] { gateway_.OpenChannel(token, stream); });
  return stream.get();
}

grpc::ServerUnaryReactor* Shell::Publish(grpc::CallbackServerContext* context, const v1::PublishRequest* request,
                                         v1::PublishResponse* response) {
  return Measured(context, response, publish_seconds_, [this, request, token = TokenOf(*context)](auto done) {
    gateway_.Publish(token, *request, std::move(done));
  });
}

grpc::ServerUnaryReactor* Shell::AckPublications(grpc::CallbackServerContext* context,
                                                 const v1::AckPublicationsRequest* request,
                                                 v1::AckPublicationsResponse* response) {
  return Measured(context, response, ack_publications_seconds_, [this, request, token = TokenOf(*context)](auto done) {
    gateway_.AckPublications(token, *request, std::move(done));
  });
}

grpc::ServerUnaryReactor* Shell::ListSubscriptions(grpc::CallbackServerContext* context,
                                                   const v1::ListSubscriptionsRequest*,
                                                   v1::ListSubscriptionsResponse* response) {
  return Measured(context, response, list_subscriptions_seconds_,
                  [this, token = TokenOf(*context)](auto done) { gateway_.ListSubscriptions(token, std::move(done)); });
}

grpc::ServerUnaryReactor* Shell::Unsubscribe(grpc::CallbackServerContext* context,
                                             const v1::UnsubscribeRequest* request, v1::UnsubscribeResponse* response) {
  return Measured(context, response, unsubscribe_seconds_, [this, request, token = TokenOf(*context)](auto done) {
    gateway_.Unsubscribe(token, *request, std::move(done));
  });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* Shell::Subscribe(grpc::CallbackServerContext* context,
                                                             const grpc::ByteBuffer* request) {
  auto stream = GrpcEventStream::Create(context, loop_);
  v1::SubscribeRequest parsed;
  grpc::ByteBuffer bytes(*request);  // a reference
  if (!grpc::SerializationTraits<v1::SubscribeRequest>::Deserialize(&bytes, &parsed).ok()) {
    post_([stream] {
      stream->Finish(
          ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, "this is no SubscribeRequest"));
    });
    return stream.get();
  }
  post_([this, stream, parsed = std::move(parsed), token = TokenOf(*context)] {
    gateway_.Subscribe(token, parsed, stream);
  });
  return stream.get();
}

grpc::ServerUnaryReactor* Shell::GetStanding(grpc::CallbackServerContext* context, const v1::GetStandingRequest*,
                                             v1::GetStandingResponse* response) {
  return MeasuredHere(context, response, get_standing_seconds_,
                      [&] { return gateway_.GetStanding(BearerToken(*context)); });
}

}  // namespace dotagent::gateway_service
