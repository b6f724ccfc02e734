#include "services/relay/control_stream.h"

#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/p2p/relay_client.h"
#include "common/p2p/stream.h"

namespace dotagent::relay_service {
namespace {

using relay::v1::ControlEvent;
using relay::v1::ControlRequest;

constexpr std::chrono::seconds kRequestTimeout{10};
constexpr size_t kMaxQueuedEvents = 64;

ControlEvent RefusedEvent(const absl::Status& status) {
  ControlEvent event;
  event.mutable_refused()->set_code(static_cast<int32_t>(status.code()));
  event.mutable_refused()->set_message(std::string(status.message()));
  event.mutable_refused()->set_reason(ReasonOf(status));
  return event;
}

// One caller's stream: reads its request, then writes events in their order, one at a time.
class ControlStream : public std::enable_shared_from_this<ControlStream> {
 public:
  ControlStream(const asio::any_io_executor& executor, std::shared_ptr<p2p::Stream> stream, Relay& relay)
      : timer_(executor), stream_(std::move(stream)), relay_(relay) {}

  void Start() {
    timer_.expires_after(kRequestTimeout);
    timer_.async_wait([self = shared_from_this()](std::error_code error) {
      if (!error) self->stream_->Reset(p2p::reset_code::kTimeout);
    });
    p2p::ReadMessage(stream_, p2p::kMaxControlMessage,
                     [self = shared_from_this()](const absl::StatusOr<std::string>& bytes, const std::string&) {
                       self->timer_.cancel();
                       ControlRequest request;
                       if (!bytes.ok() || !request.ParseFromString(*bytes)) {
                         return self->stream_->Reset(p2p::reset_code::kBadMessage);
                       }
                       self->OnRequest(request);
                     });
  }

 private:
  void OnRequest(const ControlRequest& request) {
    switch (request.call_case()) {
      case ControlRequest::kReserve:
        return Reserve();
      case ControlRequest::kConnect:
        return Connect(request.connect());
      case ControlRequest::CALL_NOT_SET:
        return End(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                                   "a ControlRequest must hold `reserve` or `connect`"));
    }
  }

  void Connect(const relay::v1::Connect& connect) {
    auto ready = relay_.Connect(stream_->peer(), connect.target());
    if (!ready.ok()) return End(ready.status());
    ControlEvent event;
    *event.mutable_ready() = *std::move(ready);
    last_ = true;
    Push(event);
  }

  void Reserve() {
    // The relay knows this stream by weak references only: a holder that goes away takes its reservation along.
    auto reserved =
        relay_.Reserve(stream_->peer(), {.incoming =
                                             [weak = weak_from_this()](const relay::v1::Incoming& incoming) {
                                               const auto self = weak.lock();
                                               return self && self->OnIncoming(incoming);
                                             },
                                         .ended =
                                             [weak = weak_from_this()](const absl::Status& why) {
                                               if (const auto self = weak.lock()) self->End(why);
                                             }});
    if (!reserved.ok()) return End(reserved.status());
    ControlEvent event;
    *event.mutable_reserved() = std::move(reserved->event);
    Push(event);
    // Nothing more is expected; the end tells that the holder has gone.
    stream_->Read(1, [self = shared_from_this(), id = reserved->id](const absl::StatusOr<std::string>& bytes) {
      self->relay_.Release(id);
      if (!bytes.ok() || !bytes->empty()) return self->stream_->Reset(p2p::reset_code::kBadMessage);
      self->stream_->CloseWrite();
    });
  }

  [[nodiscard]] bool OnIncoming(const relay::v1::Incoming& incoming) {
    if (last_ || queue_.size() >= kMaxQueuedEvents) return false;
    ControlEvent event;
    *event.mutable_incoming() = incoming;
    Push(event);
    return true;
  }

  void End(const absl::Status& why) {
    if (std::exchange(last_, true)) return;
    Push(RefusedEvent(why));
  }

  void Push(const ControlEvent& event) {
    queue_.push_back(event.SerializeAsString());
    if (queue_.size() == 1) WriteNext();
  }

  void WriteNext() {
    p2p::WriteMessage(stream_, queue_.front(), [self = shared_from_this()](const absl::Status& written) {
      if (!written.ok()) return self->stream_->Reset(p2p::ResetCodeFor(written));
      self->queue_.pop_front();
      if (!self->queue_.empty()) return self->WriteNext();
      if (self->last_) self->stream_->CloseWrite();
    });
  }

  asio::steady_timer timer_;
  const std::shared_ptr<p2p::Stream> stream_;
  Relay& relay_;
  std::deque<std::string> queue_;  // the first one is being written
  bool last_ = false;              // the queue ends the stream
};

}  // namespace

void ServeControl(const asio::any_io_executor& executor, p2p::Node& node, Relay& relay) {
  node.Serve(p2p::kRelayProtocolId, [executor, &relay](std::shared_ptr<p2p::Stream> stream) {
    std::make_shared<ControlStream>(executor, std::move(stream), relay)->Start();
  });
}

}  // namespace dotagent::relay_service
