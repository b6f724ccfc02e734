#include "services/relay/shell.h"

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>

#include "common/rpc/server.h"

namespace dotagent::relay_service {
namespace {

namespace v1 = ::dotagent::relay::v1;

constexpr size_t kMaxQueuedEvents = 64;

// One reservation. All but the gRPC reactions runs on the loop.
class ReserveStream : public grpc::ServerWriteReactor<v1::ReserveResponse>,
                      public std::enable_shared_from_this<ReserveStream> {
 public:
  ReserveStream(Relay& relay, const rpc::Executor& post) : relay_(relay), post_(post) {}

  void Start(absl::StatusOr<crypto::PublicKey> caller) {
    self_ = shared_from_this();
    post_([self = self_, caller = std::move(caller)] { self->Reserve(caller); });
  }

  void OnWriteDone(bool ok) override {
    post_([self = shared_from_this(), ok] {
      self->queue_.pop_front();
      if (self->ended_) return self->Finish(rpc::ToGrpc(self->why_));
      if (!ok) {
        self->queue_.clear();
        return self->End(absl::CancelledError("the holder has gone"));
      }
      if (!self->queue_.empty()) self->StartWrite(&self->queue_.front());
    });
  }
  void OnCancel() override {
    post_([self = shared_from_this()] { self->End(absl::CancelledError("the holder has gone")); });
  }
  void OnDone() override { const auto last = std::move(self_); }

 private:
  void Reserve(const absl::StatusOr<crypto::PublicKey>& caller) {
    if (ended_) return;
    if (!caller.ok()) return End(caller.status());
    auto reserved = relay_.Reserve(*caller, {.incoming =
                                                 [weak = weak_from_this()](const v1::Incoming& incoming) {
                                                   const auto self = weak.lock();
                                                   return self && self->OnIncoming(incoming);
                                                 },
                                             .ended =
                                                 [weak = weak_from_this()](const absl::Status& why) {
                                                   if (const auto self = weak.lock()) self->End(why);
                                                 }});
    if (!reserved.ok()) return End(reserved.status());
    reservation_ = reserved->id;
    v1::ReserveResponse response;
    *response.mutable_event()->mutable_reserved() = std::move(reserved->event);
    Push(std::move(response));
  }

  [[nodiscard]] bool OnIncoming(const v1::Incoming& incoming) {
    if (ended_ || queue_.size() >= kMaxQueuedEvents) return false;
    v1::ReserveResponse response;
    *response.mutable_event()->mutable_incoming() = incoming;
    Push(std::move(response));
    return true;
  }

  void Push(v1::ReserveResponse response) {
    queue_.push_back(std::move(response));
    if (queue_.size() == 1) StartWrite(&queue_.front());
  }

  void End(const absl::Status& why) {
    if (std::exchange(ended_, true)) return;
    if (reservation_) relay_.Release(*reservation_);
    why_ = why;
    if (queue_.empty()) Finish(rpc::ToGrpc(why_));  // otherwise after the write that is under way
  }

  Relay& relay_;
  const rpc::Executor post_;
  std::shared_ptr<ReserveStream> self_;    // until OnDone
  std::deque<v1::ReserveResponse> queue_;  // the first one is being written; a deque keeps it in its place
  std::optional<uint64_t> reservation_;
  bool ended_ = false;
  absl::Status why_;
};

}  // namespace

grpc::ServerWriteReactor<v1::ReserveResponse>* Shell::Reserve(grpc::CallbackServerContext* context,
                                                              const v1::ReserveRequest*) {
  auto stream = std::make_shared<ReserveStream>(relay_, post_);
  stream->Start(rpc::PeerKey(*context, clock_.Now()));
  return stream.get();
}

grpc::ServerUnaryReactor* Shell::Connect(grpc::CallbackServerContext* context, const v1::ConnectRequest* request,
                                         v1::ConnectResponse* response) {
  return rpc::Unary(
      context, post_, response,
      [this, request, caller = rpc::PeerKey(*context, clock_.Now())](rpc::Done<v1::ConnectResponse> done) {
        if (!caller.ok()) return done(caller.status());
        auto ready = relay_.Connect(*caller, request->target());
        if (!ready.ok()) return done(ready.status());
        v1::ConnectResponse connected;
        *connected.mutable_ready() = *std::move(ready);
        done(std::move(connected));
      });
}

grpc::ServerUnaryReactor* Shell::GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest*,
                                           v1::GetStatusResponse* response) {
  return rpc::Unary(context, post_, response, [this](rpc::Done<v1::GetStatusResponse> done) { done(status_()); });
}

}  // namespace dotagent::relay_service
