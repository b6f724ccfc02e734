// A bidirectional gRPC call, as a handler on the loop sees it: one read and one write at a time, with back pressure.
//
// Handlers know only BidiStream, so that tests hand them one of their own; GrpcBidiStream is the shell's.
#ifndef DOTAGENT_SERVICES_GATEWAY_BIDI_STREAM_H_
#define DOTAGENT_SERVICES_GATEWAY_BIDI_STREAM_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/p2p/loop.h"
#include "services/gateway/loop_reactor.h"

namespace dotagent::gateway_service {

// On the loop only. Callbacks never run from inside the call.
template <typename Request, typename Response>
class BidiStream {
 public:
  virtual ~BidiStream() = default;

  // std::nullopt: the client has half-closed, or the call is over. One read at a time.
  virtual void Read(std::function<void(std::optional<Request>)> done) = 0;
  // false: the call is over. One write at a time.
  virtual void Write(Response response, std::function<void(bool)> done) = 0;
  // Ends the call, after a write that is under way. Idempotent: the first status counts.
  virtual void Finish(absl::Status status) = 0;
  // `gone` is called once if the client cancels or vanishes before Finish. Finish must still be called.
  virtual void OnCancelled(std::function<void()> gone) = 0;
};

template <typename Request, typename Response>
class GrpcBidiStream final
    : public LoopReactor<grpc::ServerBidiReactor<Request, Response>, BidiStream<Request, Response>, Response> {
  using Base = LoopReactor<grpc::ServerBidiReactor<Request, Response>, BidiStream<Request, Response>, Response>;

 public:
  // How long something that was read has waited for the loop; told there.
  using SawWait = std::function<void(absl::Duration)>;

  // Lives until gRPC is done with it. `loop` must outlive the server.
  static std::shared_ptr<GrpcBidiStream> Create(grpc::CallbackServerContext* context, p2p::Loop& loop,
                                                SawWait saw_wait = nullptr) {
    auto stream = std::make_shared<GrpcBidiStream>(context, loop, std::move(saw_wait));
    stream->KeepUntilDone();
    return stream;
  }
  GrpcBidiStream(grpc::CallbackServerContext* context, p2p::Loop& loop, SawWait saw_wait)
      : Base(context, loop), saw_wait_(std::move(saw_wait)) {}

  void Read(std::function<void(std::optional<Request>)> done) override {
    if (this->finished()) return this->loop().Post([done = std::move(done)] { done(std::nullopt); });
    read_done_ = std::move(done);
    request_.Clear();
    this->StartRead(&request_);
  }

 private:
  // gRPC's thread.
  void OnReadDone(bool ok) override {
    const auto self = std::static_pointer_cast<GrpcBidiStream>(this->shared_from_this());
    this->loop().Enter([self, ok, came = std::chrono::steady_clock::now()] {
      if (self->saw_wait_) self->saw_wait_(absl::FromChrono(std::chrono::steady_clock::now() - came));
      auto done = std::exchange(self->read_done_, nullptr);
      done(ok ? std::optional<Request>(std::move(self->request_)) : std::nullopt);
    });
  }

  const SawWait saw_wait_;
  Request request_;
  std::function<void(std::optional<Request>)> read_done_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_BIDI_STREAM_H_
