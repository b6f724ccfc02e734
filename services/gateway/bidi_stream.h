// A bidirectional gRPC call, as a handler on the loop sees it: one read and one write at a time, with back pressure.
//
// Handlers know only BidiStream, so that tests hand them one of their own; GrpcBidiStream is the shell's, a gRPC
// reactor that brings every reaction to the loop.
#ifndef DOTAGENT_SERVICES_GATEWAY_BIDI_STREAM_H_
#define DOTAGENT_SERVICES_GATEWAY_BIDI_STREAM_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/p2p/loop.h"
#include "common/rpc/status.h"

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
class GrpcBidiStream final : public grpc::ServerBidiReactor<Request, Response>,
                             public BidiStream<Request, Response>,
                             public std::enable_shared_from_this<GrpcBidiStream<Request, Response>> {
 public:
  // How long something that was read has waited for the loop; told there.
  using SawWait = std::function<void(absl::Duration)>;

  // Lives until gRPC is done with it. `loop` must outlive the server.
  static std::shared_ptr<GrpcBidiStream> Create(grpc::CallbackServerContext* context, p2p::Loop& loop,
                                                SawWait saw_wait = nullptr) {
    auto stream = std::make_shared<GrpcBidiStream>(context, loop, std::move(saw_wait));
    stream->self_ = stream;
    return stream;
  }
  GrpcBidiStream(grpc::CallbackServerContext* context, p2p::Loop& loop, SawWait saw_wait)
      : context_(context), loop_(loop), saw_wait_(std::move(saw_wait)), unread_(loop.executor()) {}

  void Read(std::function<void(std::optional<Request>)> done) override {
    if (finished_) return Later([done = std::move(done)] { done(std::nullopt); });
    read_done_ = std::move(done);
    request_.Clear();
    this->StartRead(&request_);
  }

  void Write(Response response, std::function<void(bool)> done) override {
    if (finished_ || last_word_) return Later([done = std::move(done)] { done(false); });
    write_done_ = std::move(done);
    response_ = std::move(response);
    this->StartWrite(&response_);
  }

  void Finish(absl::Status status) override {
    if (finished_ || last_word_) return;
    if (!write_done_) return FinishNow(status);
    // The client is told why the call ends after the write; one that does not read is cut off.
    last_word_ = std::move(status);
    unread_.expires_after(kLastWordTimeout);
    unread_.async_wait([self = this->shared_from_this()](std::error_code error) {
      if (!error && !self->finished_) self->context_->TryCancel();
    });
  }

  void OnCancelled(std::function<void()> gone) override {
    if (cancelled_) return Later(std::move(gone));
    gone_ = std::move(gone);
  }

 private:
  static constexpr std::chrono::seconds kLastWordTimeout{2};

  template <typename Work>
  void Later(Work work) {
    loop_.Post(std::move(work));
  }

  void FinishNow(const absl::Status& status) {
    finished_ = true;
    gone_ = nullptr;
    grpc::ServerBidiReactor<Request, Response>::Finish(rpc::ToGrpc(status));
  }

  // gRPC's threads from here.
  void OnReadDone(bool ok) override {
    loop_.Enter([self = this->shared_from_this(), ok, came = std::chrono::steady_clock::now()] {
      if (self->saw_wait_) self->saw_wait_(absl::FromChrono(std::chrono::steady_clock::now() - came));
      auto done = std::exchange(self->read_done_, nullptr);
      done(ok ? std::optional<Request>(std::move(self->request_)) : std::nullopt);
    });
  }
  void OnWriteDone(bool ok) override {
    loop_.Enter([self = this->shared_from_this(), ok] {
      auto done = std::exchange(self->write_done_, nullptr);
      self->response_ = Response();  // a channel's may be large, and a call may wait for long
      if (self->last_word_) {
        self->unread_.cancel();
        self->FinishNow(*self->last_word_);
      }
      done(ok);
    });
  }
  void OnCancel() override {
    loop_.Enter([self = this->shared_from_this()] {
      self->cancelled_ = true;
      if (auto gone = std::exchange(self->gone_, nullptr)) gone();
    });
  }
  void OnDone() override { const auto last = std::move(self_); }

  grpc::CallbackServerContext* const context_;  // alive until Finish
  p2p::Loop& loop_;
  const SawWait saw_wait_;
  asio::steady_timer unread_;
  std::shared_ptr<GrpcBidiStream> self_;
  Request request_;
  Response response_;
  std::function<void(std::optional<Request>)> read_done_;
  std::function<void(bool)> write_done_;
  std::function<void()> gone_;
  std::optional<absl::Status> last_word_;  // Finish waits for a write
  bool finished_ = false;
  bool cancelled_ = false;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_BIDI_STREAM_H_
