// The half that all streaming calls have in common: what a handler on the loop does to write to one, and to end it, as
// a gRPC reactor that brings every reaction to the loop. bidi_stream.h and event_stream.h are the two kinds.
//
// Defends against clients that do not read: a call that is to end after a write waits for that for kLastWordTimeout,
// then it is cut off.
#ifndef DOTAGENT_SERVICES_GATEWAY_LOOP_REACTOR_H_
#define DOTAGENT_SERVICES_GATEWAY_LOOP_REACTOR_H_

#include <grpcpp/server_context.h>

#include <asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "common/p2p/loop.h"
#include "common/rpc/status.h"

namespace dotagent::gateway_service {

inline constexpr std::chrono::seconds kLastWordTimeout{2};

// `Reactor` is gRPC's, of calls whose responses are `Response`s; `Stream` what handlers know of it, with Write, Finish
// and OnCancelled as in bidi_stream.h. On the loop, but for what gRPC calls.
template <typename Reactor, typename Stream, typename Response>
class LoopReactor : public Reactor,
                    public Stream,
                    public std::enable_shared_from_this<LoopReactor<Reactor, Stream, Response>> {
 public:
  // `loop` must outlive the server.
  LoopReactor(grpc::CallbackServerContext* context, p2p::Loop& loop)
      : context_(context), loop_(loop), unread_(loop.executor()) {}

  // It lives until gRPC is done with it.
  void KeepUntilDone() { self_ = this->shared_from_this(); }

  void Write(Response response, std::function<void(bool)> done) override {
    if (finished_ || last_word_) return loop_.Post([done = std::move(done)] { done(false); });
    write_done_ = std::move(done);
    response_.Swap(&response);
    this->StartWrite(&response_);
  }

  void Finish(absl::Status status) override {
    if (finished_ || last_word_) return;
    if (!write_done_) return FinishNow(status);
    // The client is told why the call ends after the write.
    last_word_ = std::move(status);
    unread_.expires_after(kLastWordTimeout);
    unread_.async_wait([self = this->shared_from_this()](std::error_code error) {
      if (!error && !self->finished_) self->context_->TryCancel();
    });
  }

  void OnCancelled(std::function<void()> gone) override {
    if (cancelled_) return loop_.Post(std::move(gone));
    gone_ = std::move(gone);
  }

 protected:
  [[nodiscard]] p2p::Loop& loop() { return loop_; }
  [[nodiscard]] bool finished() const { return finished_; }

 private:
  void FinishNow(const absl::Status& status) {
    finished_ = true;
    gone_ = nullptr;
    Reactor::Finish(rpc::ToGrpc(status));
  }

  // gRPC's threads from here.
  void OnWriteDone(bool ok) override {
    loop_.Enter([self = this->shared_from_this(), ok] {
      auto done = std::exchange(self->write_done_, nullptr);
      Response().Swap(&self->response_);  // it may be large, and a call may wait for long
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
  asio::steady_timer unread_;
  std::shared_ptr<LoopReactor> self_;
  Response response_;
  std::function<void(bool)> write_done_;
  std::function<void()> gone_;
  std::optional<absl::Status> last_word_;  // Finish waits for a write
  bool finished_ = false;
  bool cancelled_ = false;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_LOOP_REACTOR_H_
