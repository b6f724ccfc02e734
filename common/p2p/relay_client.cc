#include "common/p2p/relay_client.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/p2p/circuit.h"
#include "common/p2p/timer.h"
#include "dotagent/relay/v1/control.pb.h"

namespace dotagent::p2p {
namespace {

using relay::v1::ControlEvent;
using relay::v1::ControlRequest;

constexpr size_t kMaxIncoming = 64;  // circuits being claimed at once
constexpr absl::Duration kShortestRenewal = absl::Seconds(1);

absl::StatusOr<ControlEvent> ParseEvent(const std::string& message) {
  ControlEvent event;
  if (!event.ParseFromString(message)) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, "the relay sent a malformed event");
  }
  return event;
}

absl::Status ToStatus(const relay::v1::Refused& refused) {
  constexpr int kLastCode = static_cast<int>(absl::StatusCode::kUnauthenticated);
  const bool known = refused.code() > 0 && refused.code() <= kLastCode;
  const auto code = known ? static_cast<absl::StatusCode>(refused.code()) : absl::StatusCode::kUnavailable;
  return ErrorWithReason(code, refused.reason(), absl::StrCat("the relay refused: ", refused.message()));
}

class CircuitRequest : public Operation, public std::enable_shared_from_this<CircuitRequest> {
 public:
  using Done = std::function<void(absl::StatusOr<std::string>)>;

  CircuitRequest(const crypto::PublicKey& target, Done done) : done_(std::move(done)) {
    request_.mutable_connect()->set_target(std::string(target.bytes()));
  }

  void Start(const OpenControl& open) {
    open([self = shared_from_this()](absl::StatusOr<std::shared_ptr<Stream>> stream) {
      if (self->done_ == nullptr) return;
      if (!stream.ok()) return self->Finish(WithContext(stream.status(), "the relay"));
      self->Ask(*std::move(stream));
    });
  }

  void Cancel() override {
    done_ = nullptr;
    if (const auto stream = std::exchange(stream_, nullptr); stream != nullptr) stream->Reset(reset_code::kCancelled);
  }

 private:
  void Ask(std::shared_ptr<Stream> stream) {
    stream_ = std::move(stream);
    WriteMessage(stream_, request_.SerializeAsString(), [](const absl::Status&) {});  // the read tells if it failed
    stream_->CloseWrite();
    ReadMessage(stream_, kMaxControlMessage,
                [self = shared_from_this()](absl::StatusOr<std::string> message, const std::string&) {
                  if (self->done_ != nullptr) self->Finish(Voucher(message));
                });
  }

  static absl::StatusOr<std::string> Voucher(const absl::StatusOr<std::string>& message) {
    if (!message.ok()) return WithContext(message.status(), "the relay");
    ASSIGN_OR_RETURN(const ControlEvent event, ParseEvent(*message));
    if (event.has_refused()) return ToStatus(event.refused());
    if (!event.has_ready() || event.ready().voucher().size() != kVoucherSize) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                             "the relay answered Connect with something else than a voucher");
    }
    return event.ready().voucher();
  }

  void Finish(absl::StatusOr<std::string> result) {
    stream_ = nullptr;
    std::exchange(done_, nullptr)(std::move(result));
  }

  ControlRequest request_;
  Done done_;
  std::shared_ptr<Stream> stream_;
};

}  // namespace

std::shared_ptr<Operation> RequestCircuit(const OpenControl& open, const crypto::PublicKey& target,
                                          std::function<void(absl::StatusOr<std::string>)> done) {
  auto request = std::make_shared<CircuitRequest>(target, std::move(done));
  request->Start(open);
  return request;
}

struct Reservation::Incoming {
  explicit Incoming(const asio::any_io_executor& executor) : timer(executor) {}
  asio::steady_timer timer;
  std::shared_ptr<Operation> claim;
};

Reservation::Reservation(const asio::any_io_executor& executor, ReservationOptions options)
    : executor_(executor), options_(std::move(options)), timer_(executor), pause_(options_.first_pause) {}

void Reservation::Start() { Reserve(); }

void Reservation::Stop() {
  if (std::exchange(stopped_, true)) return;
  timer_.cancel();
  for (const Reader& reader : {std::exchange(held_by_, nullptr), std::exchange(asked_by_, nullptr)}) {
    if (reader != nullptr) reader->stream()->Reset(reset_code::kCancelled);
  }
  for (const auto& incoming : std::exchange(incoming_, {})) {
    incoming->timer.cancel();
    incoming->claim->Cancel();
  }
}

void Reservation::Reserve() {
  asking_ = true;
  After(options_.claim_timeout);
  options_.open([weak = weak_from_this(), asked = ++asked_](absl::StatusOr<std::shared_ptr<Stream>> stream) {
    const auto self = weak.lock();
    if (self == nullptr || self->stopped_ || !self->asking_ || asked != self->asked_) return;
    if (!stream.ok()) return self->TryAgainLater();
    self->OnStream(*stream);
  });
}

void Reservation::OnStream(const std::shared_ptr<Stream>& stream) {
  ControlRequest request;
  request.mutable_reserve();
  WriteMessage(stream, request.SerializeAsString(), [](const absl::Status&) {});  // the read tells if it failed
  asked_by_ = std::make_shared<MessageReader>(stream, kMaxControlMessage);
  ReadEvents(asked_by_);
}

void Reservation::ReadEvents(const Reader& reader) {
  reader->Next([weak = weak_from_this(), reader](absl::StatusOr<std::string> message) {
    const auto self = weak.lock();
    if (self == nullptr || self->stopped_ || (reader != self->held_by_ && reader != self->asked_by_)) return;
    if (!message.ok()) return self->OnLost(reader);
    const auto event = ParseEvent(*message);
    if (!event.ok() || !self->OnEvent(reader, *event)) return self->OnLost(reader);
    if (!self->stopped_) self->ReadEvents(reader);
  });
}

bool Reservation::OnEvent(const Reader& reader, const ControlEvent& event) {
  if (event.has_reserved() && reader == asked_by_) {
    OnReserved(reader, absl::FromUnixMillis(event.reserved().expires_at_ms()));
    return true;
  }
  if (event.has_incoming() && event.incoming().voucher().size() == kVoucherSize) {
    Claim(event.incoming().voucher());
    return true;
  }
  return false;
}

void Reservation::OnReserved(const Reader& reader, absl::Time expires) {
  asking_ = false;
  asked_by_ = nullptr;
  const Reader before = std::exchange(held_by_, reader);
  if (before != nullptr) before->stream()->Reset(reset_code::kCancelled);  // the new reservation has taken its place
  pause_ = options_.first_pause;
  After(std::max(kShortestRenewal, (expires - options_.clock->Now()) * 2 / 3));
  SetHeld(true);
}

void Reservation::OnLost(const Reader& reader) {
  reader->stream()->Reset(reset_code::kCancelled);  // no effect if it is over already
  if (reader == held_by_) {
    held_by_ = nullptr;
    // A relay may end the old reservation just before it confirms the new one: that answer decides.
    if (!asking_) TryAgainLater();
    return;
  }
  asked_by_ = nullptr;
  TryAgainLater();
}

void Reservation::Claim(const std::string& voucher) {
  if (incoming_.size() >= kMaxIncoming) return;  // the caller's own deadline tells it
  const auto incoming = std::make_shared<Incoming>(executor_);
  incoming_.insert(incoming);
  incoming->timer.expires_after(TimerDelay(options_.claim_timeout));
  incoming->timer.async_wait([weak = weak_from_this(), incoming](const std::error_code& error) {
    if (error) return;
    incoming->claim->Cancel();
    if (const auto self = weak.lock(); self != nullptr) self->incoming_.erase(incoming);
  });
  incoming->claim = ClaimCircuit(executor_, options_.relay, voucher,
                                 [weak = weak_from_this(), held = std::weak_ptr<Incoming>(incoming)](
                                     absl::StatusOr<asio::ip::tcp::socket> socket) {
                                   const auto self = weak.lock();
                                   const auto done = held.lock();
                                   if (self == nullptr || done == nullptr || self->stopped_) return;
                                   done->timer.cancel();
                                   self->incoming_.erase(done);
                                   if (socket.ok()) self->options_.on_circuit(*std::move(socket));
                                 });
}

// With a jitter of up to half, so that the clients of a relay that restarts do not return all at once.
void Reservation::TryAgainLater() {
  asking_ = false;
  const auto jitter = static_cast<int64_t>(options_.random->Below(1000));
  After(pause_ + pause_ * jitter / 2000);
  pause_ = std::min(pause_ * 2, options_.longest_pause);
  if (held_by_ == nullptr) SetHeld(false);
}

void Reservation::After(absl::Duration delay) {
  timer_.expires_after(TimerDelay(delay));
  timer_.async_wait([weak = weak_from_this()](const std::error_code& error) {
    const auto self = weak.lock();
    if (!error && self != nullptr && !self->stopped_) self->OnTimer();
  });
}

void Reservation::OnTimer() {
  if (!asking_) return Reserve();
  // The relay has not answered.
  if (const Reader asked = std::exchange(asked_by_, nullptr); asked != nullptr) {
    asked->stream()->Reset(reset_code::kTimeout);
  }
  TryAgainLater();
}

void Reservation::SetHeld(bool held) {
  if (std::exchange(held_, held) != held) options_.changed(held);
}

}  // namespace dotagent::p2p
