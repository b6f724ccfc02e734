// A server-streaming gRPC call whose responses are bytes already, as a handler on the loop sees it: one write at a
// time, with back pressure. For what goes to many at once: it is serialized once, and each call refers to it.
//
// As bidi_stream.h: handlers know only EventStream; GrpcEventStream is the shell's.
#ifndef DOTAGENT_SERVICES_GATEWAY_EVENT_STREAM_H_
#define DOTAGENT_SERVICES_GATEWAY_EVENT_STREAM_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "common/p2p/loop.h"
#include "services/gateway/loop_reactor.h"

namespace dotagent::gateway_service {

// On the loop only. Callbacks never run from inside the call.
class EventStream {
 public:
  virtual ~EventStream() = default;

  // false: the call is over. One write at a time.
  virtual void Write(grpc::ByteBuffer response, std::function<void(bool)> done) = 0;
  // Ends the call, after a write that is under way. Idempotent: the first status counts.
  virtual void Finish(absl::Status status) = 0;
  // `gone` is called once if the client cancels or vanishes before Finish. Finish must still be called.
  virtual void OnCancelled(std::function<void()> gone) = 0;
};

class GrpcEventStream final
    : public LoopReactor<grpc::ServerWriteReactor<grpc::ByteBuffer>, EventStream, grpc::ByteBuffer> {
 public:
  // Lives until gRPC is done with it. `loop` must outlive the server.
  static std::shared_ptr<GrpcEventStream> Create(grpc::CallbackServerContext* context, p2p::Loop& loop) {
    auto stream = std::make_shared<GrpcEventStream>(context, loop);
    stream->KeepUntilDone();
    return stream;
  }
  using LoopReactor::LoopReactor;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_EVENT_STREAM_H_
