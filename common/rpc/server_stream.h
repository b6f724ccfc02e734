// The shell of a server-streaming gRPC method over a handler that knows nothing of gRPC (call.h has the unary one).
//
// It pulls: whenever one message has been written, and whenever the handler says that there is news (Wake), Next is
// asked for one more. So a client that does not read costs one message of memory, however much happens meanwhile; what
// it is told once it reads again is Next's to decide (everything in order, or the newest only).
//
//   class NewsStream : public rpc::ServerStream<WatchResponse> {
//     void Begin() override { watch_ = handler_.Watch([this, alive = weak_from_this()] { if (auto held = alive.lock())
//     Wake(); }); }
//     absl::StatusOr<std::optional<WatchResponse>> Next() override { return std::exchange(newest_, std::nullopt); }
//     void Over() override { handler_.Unwatch(watch_); }
//   };
//   return rpc::ServerStream<WatchResponse>::Start(std::make_shared<NewsStream>(post_, handler_));
#ifndef DOTAGENT_COMMON_RPC_SERVER_STREAM_H_
#define DOTAGENT_COMMON_RPC_SERVER_STREAM_H_

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/call.h"
#include "common/rpc/status.h"

namespace dotagent::rpc {

// Keeps itself alive until gRPC is done with it and the executor has seen its end. A subclass's methods all run on the
// executor, so that it needs no lock; gRPC's own threads see only the reactions below.
template <typename Response>
class ServerStream : public grpc::ServerWriteReactor<Response>,
                     public std::enable_shared_from_this<ServerStream<Response>> {
 public:
  // What the gRPC method returns. `post` runs work in the order in which it came.
  static grpc::ServerWriteReactor<Response>* Start(std::shared_ptr<ServerStream> stream) {
    ServerStream* const reactor = stream.get();
    reactor->self_ = stream;
    reactor->post_([stream = std::move(stream)] { stream->Begin(); });
    return reactor;
  }

 protected:
  explicit ServerStream(Executor post) : post_(std::move(post)) {}

  // Once, before everything else.
  virtual void Begin() = 0;
  // The next message; std::nullopt: none until the next Wake. An error ends the stream.
  virtual absl::StatusOr<std::optional<Response>> Next() = 0;
  // Once, after everything else, however the stream ended: the handler must forget it.
  virtual void Over() = 0;

  // There may be something to write.
  void Wake() {
    if (writing_ || ended_) return;
    absl::StatusOr<std::optional<Response>> next = Next();
    if (!next.ok()) return End(next.status());
    if (!next->has_value()) return;
    writing_ = true;
    response_ = **std::move(next);
    this->StartWrite(&response_);
  }
  // Idempotent: the first one counts.
  void End(const absl::Status& why) {
    if (!std::exchange(ended_, true)) this->Finish(ToGrpc(why));
  }

 private:
  // gRPC's threads from here.
  void OnWriteDone(bool ok) final {
    post_([self = self_, ok] {
      self->writing_ = false;
      ok ? self->Wake() : self->End(absl::CancelledError("the client has gone"));
    });
  }
  void OnCancel() final {
    post_([self = self_] { self->End(absl::CancelledError("the client has gone")); });
  }
  void OnDone() final {
    // A copy: the executor may be through with the last reference to this before `post` returns.
    const Executor post = post_;
    post([self = std::move(self_)] { self->Over(); });
  }

  const Executor post_;
  std::shared_ptr<ServerStream> self_;  // until OnDone
  Response response_;                   // the one being written
  bool writing_ = false;
  bool ended_ = false;
};

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_SERVER_STREAM_H_
