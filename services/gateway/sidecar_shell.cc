#include "services/gateway/sidecar_shell.h"

#include <utility>

#include "common/base/status.h"

namespace dotagent::gateway_service {

namespace v1 = ::dotagent::sidecar::v1;

SidecarShell::SidecarShell(Sidecar& sidecar, p2p::Loop& loop, const Clock& clock)
    : sidecar_(sidecar),
      loop_(loop),
      post_([&loop](std::function<void()> work) { loop.Enter(std::move(work)); }),
      clock_(clock) {}

grpc::ServerUnaryReactor* SidecarShell::GetAgent(grpc::CallbackServerContext* context, const v1::GetAgentRequest*,
                                                 v1::GetAgentResponse* response) {
  return rpc::Unary(context, post_, response,
                    [this](rpc::Done<v1::GetAgentResponse> done) { done(sidecar_.GetAgent()); });
}

grpc::ServerUnaryReactor* SidecarShell::Send(grpc::CallbackServerContext* context, const v1::SendRequest* request,
                                             v1::SendResponse* response) {
  return rpc::Unary(context, post_, response,
                    [this, request](rpc::Done<v1::SendResponse> done) { sidecar_.Send(*request, std::move(done)); });
}

grpc::ServerUnaryReactor* SidecarShell::Request(grpc::CallbackServerContext* context, const v1::RequestRequest* request,
                                                v1::RequestResponse* response) {
  // The wall clock's, as gRPC has it; what counts is how long is left.
  const absl::Duration left = rpc::TimeLeft(*context);
  return rpc::Unary(context, post_, response,
                    [this, request, deadline = clock_.Now() + left](rpc::Done<v1::RequestResponse> done) {
                      sidecar_.Request(*request, deadline, std::move(done));
                    });
}

grpc::ServerBidiReactor<v1::ListenRequest, v1::ListenResponse>* SidecarShell::Listen(
    grpc::CallbackServerContext* context) {
  auto stream = GrpcBidiStream<v1::ListenRequest, v1::ListenResponse>::Create(context, loop_);
  post_([this, stream] { sidecar_.Listen(stream); });
  return stream.get();
}

grpc::ServerUnaryReactor* SidecarShell::Publish(grpc::CallbackServerContext* context, const v1::PublishRequest* request,
                                                v1::PublishResponse* response) {
  return rpc::Unary(context, post_, response, [this, request](rpc::Done<v1::PublishResponse> done) {
    sidecar_.Publish(*request, std::move(done));
  });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* SidecarShell::Subscribe(grpc::CallbackServerContext* context,
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
  post_([this, stream, parsed = std::move(parsed)] { sidecar_.Subscribe(parsed, stream); });
  return stream.get();
}

}  // namespace dotagent::gateway_service
