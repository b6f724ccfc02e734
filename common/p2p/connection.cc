#include "common/p2p/connection.h"

#include <algorithm>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/p2p/timer.h"

namespace dotagent::p2p {
namespace {

// Work for a listener under load goes in pieces of some 0.2 ms, with pauses three times as long for everything else.
constexpr uint64_t kHashesAtOnce = 512;
constexpr int kPauseFactor = 3;
constexpr size_t kMaxDiscarded = 256 * 1024;  // bytes that a peer may send on a stream that nobody reads

absl::Status GivenUp() {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         "the stream was reset here: what it brought was not read, and no memory was left to keep it "
                         "out of the way of others; read sooner");
}

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, session::Options options, bool relayed, std::shared_ptr<void> slot,
                       std::shared_ptr<ConnectionContext> context)
    : socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      relayed_(relayed),
      dialled_(options.role == session::Role::kDialler),
      context_(std::move(context)),
      slot_(std::move(slot)),
      session_(std::move(options), SteadyNow(*context_->clock)),
      calls_(*this),
      last_used_(SteadyNow(*context_->clock)) {}

void Connection::Start(std::string early, ReadyCallback ready) {
  ready_ = std::move(ready);
  std::error_code error;
  socket_.non_blocking(true, error);
  asio::post(executor(), [self = shared_from_this(), early = std::move(early)] {
    if (self->closed_) return;
    self->Charged([&] {
      if (!early.empty()) self->Receive(early);
      self->Flush();
      self->WaitReadable();
    });
  });
}

absl::StatusOr<std::shared_ptr<Stream>> Connection::OpenStream(const std::string& protocol,
                                                               session::Priority priority) {
  if (closed_) return absl::UnavailableError("the session has ended");
  auto id = session_.OpenStream(protocol, priority);
  if (!id.ok()) return id.status();
  auto stream = std::make_shared<SessionStream>(shared_from_this(), *id, protocol);
  streams_[*id] = stream;
  last_used_ = Now();
  ScheduleFlush();
  return stream;
}

void Connection::Call(const CallOptions& options, absl::string_view request, CallCallback done) {
  if (closed_) {
    return asio::post(executor(), [done = std::move(done)] { done(absl::UnavailableError("the session has ended")); });
  }
  calls_.Make(options, request, std::move(done));
  last_used_ = Now();
}

void Connection::Close(const absl::Status& why) {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  std::error_code ignored;
  if (!writing_) {
    const size_t size = session_.TakeOutput(absl::MakeSpan(context_->write_buffer), Now());
    socket_.write_some(asio::buffer(context_->write_buffer, size), ignored);
  }
  socket_.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
  timer_.cancel();
  if (work_) work_->cancel();
  slot_.reset();
  for (auto& [id, weak] : std::exchange(streams_, {})) {
    if (const auto stream = weak.lock(); stream != nullptr) stream->Fail(why);
  }
  calls_.Fail(why);
  if (ready_ != nullptr) {
    asio::post(executor(), [ready = std::exchange(ready_, nullptr), why] { ready(why); });
  }
  const auto owner = context_->owner.lock();
  if (owner == nullptr) return;
  Retire();
  owner->OnClosed(self, why);
  place_.reset();
}

void Connection::Admit() {
  if (closed_) return;
  OnReceived(session_.Admit(Now()));
  Flush();
}

void Connection::WorkOnCookie() {
  if (closed_) return;
  const absl::Time begun = Now();
  if (session_.WorkOnCookie(kHashesAtOnce)) return Flush();
  if (!work_) work_.emplace(executor());
  work_->expires_after(TimerDelay((Now() - begun) * kPauseFactor));
  work_->async_wait([self = shared_from_this()](const std::error_code& error) {
    if (!error) self->WorkOnCookie();
  });
}

void Connection::ScheduleFlush() {
  if (closed_ || flushing_ || std::exchange(flush_scheduled_, true)) return;
  asio::post(executor(), [self = shared_from_this()] {
    self->flush_scheduled_ = false;
    self->Flush();
  });
}

void Connection::Forget(session::StreamId id) {
  if (closed_) return;
  streams_.erase(id);
  last_used_ = Now();
  ScheduleFlush();
}

void Connection::Reset(session::StreamId id, uint64_t code) {
  if (closed_) return;
  session_.Reset(id, code);
  Forget(id);
}

void Connection::Linger(session::StreamId id) {
  if (closed_) return;
  lingering_[id] = 0;
  DiscardInput(id);
  Forget(id);
}

void Connection::DiscardInput(session::StreamId id) {
  const auto found = lingering_.find(id);
  if (found == lingering_.end()) return;
  const auto input = session_.Read(id, kMaxDiscarded);
  if (input.ok()) found->second += input->data.size();
  if (input.ok() && !input->finished && found->second <= kMaxDiscarded) return;
  lingering_.erase(found);
  last_used_ = Now();
  if (input.ok() && !input->finished) session_.Reset(id, reset_code::kDropped);
}

void Connection::WaitReadable() {
  if (closed_) return;
  socket_.async_receive(asio::buffer(input_), [self = shared_from_this()](const std::error_code& error, size_t size) {
    if (self->closed_) return;
    const auto take = [&] {
      if (error) return self->OnReadError(error);
      self->OnReadable(size);
    };
    self->Charged(take);
  });
}

void Connection::OnReadable(size_t size) {
  Receive({input_.data(), size});
  std::error_code error;
  if (size == input_.size() && !closed_) {
    const auto context = context_;
    const size_t more = socket_.read_some(asio::buffer(context->read_buffer), error);
    if (!error) Receive({context->read_buffer.data(), more});
  }
  Flush();
  if (closed_) return;
  if (error && error != asio::error::would_block && error != asio::error::interrupted) return OnReadError(error);
  WaitReadable();
}

void Connection::OnReadError(const std::error_code& error) {
  for (auto& [id, weak] : streams_) {
    if (const auto stream = weak.lock(); stream != nullptr) stream->KeepReceived();
  }
  if (error == asio::error::eof) return Close(session_.TransportEnded());
  Close(absl::UnavailableError(absl::StrCat("the connection broke: ", error.message())));
}

void Connection::Receive(absl::string_view bytes) {
  context_->received->Increment(static_cast<double>(bytes.size()));
  OnReceived(session_.Receive(bytes, Now()));
}

void Connection::OnReceived(const absl::Status& status) {
  if (status.ok()) return;
  // Whatever arrived in order before the error still counts.
  HandleEvents();
  Close(status);
}

void Connection::Flush() {
  flushing_ = true;
  HandleEvents();
  flushing_ = false;
  if (Write()) {
    HandleEvents();  // there may be room for more now
    if (session_.HasOutput()) ScheduleFlush();
  }
  ArmTimer();
}

void Connection::HandleEvents() {
  while (!closed_) {
    const std::vector<session::Event> events = session_.TakeEvents();
    if (events.empty()) return;
    for (const session::Event& event : events) {
      if (closed_) return;
      HandleEvent(event);
    }
  }
}

void Connection::HandleEvent(const session::Event& event) {
  using Kind = session::Event::Kind;
  switch (event.kind) {
    case Kind::kKnock:
      if (const auto owner = context_->owner.lock(); owner != nullptr) owner->OnKnock(shared_from_this(), event.code);
      return;
    case Kind::kWorkAsked:
      return WorkOnCookie();
    case Kind::kEstablished:
      place_.reset();
      peer_key_ = session_.peer_key();
      if (const auto owner = context_->owner.lock(); owner != nullptr) owner->OnEstablished(shared_from_this());
      if (ready_ != nullptr && !closed_) std::exchange(ready_, nullptr)(shared_from_this());
      return;
    case Kind::kStreamOpened:
      return OnPeerStream(event.stream, event.protocol);
    case Kind::kReadable:
      if (calls_.OnReadable(event.stream)) return;
      if (const auto stream = Find(event.stream); stream != nullptr) return stream->OnReadable();
      return DiscardInput(event.stream);
    case Kind::kWritable:
      if (calls_.OnWritable(event.stream)) return;
      if (const auto stream = Find(event.stream); stream != nullptr) stream->OnWritable();
      return;
    case Kind::kStreamReset:
      return OnStreamGone(event.stream, StatusOfReset(event.code));
    case Kind::kStreamGivenUp:
      context_->given_up->Increment();
      return OnStreamGone(event.stream, GivenUp());
    case Kind::kGoAway:
      return Retire();
  }
}

void Connection::OnPeerStream(session::StreamId id, const std::string& protocol) {
  const auto owner = context_->owner.lock();
  last_used_ = Now();
  const Served* served = owner == nullptr ? nullptr : owner->HandlerOf(protocol);
  if (served == nullptr) return session_.Reset(id, reset_code::kUnknownProtocol);
  if (served->calls != nullptr) return calls_.Accept(id, *served);
  auto stream = std::make_shared<SessionStream>(shared_from_this(), id, protocol);
  streams_[id] = stream;
  served->streams(std::move(stream));
}

void Connection::OnStreamGone(session::StreamId id, const absl::Status& why) {
  last_used_ = Now();
  if (calls_.OnReset(id, why)) return;
  if (const auto stream = Find(id); stream != nullptr) stream->Fail(why);
  streams_.erase(id);
  lingering_.erase(id);
}

// One piece, as far as the socket takes it at once, which is nearly always all. True if all of it is written.
bool Connection::Write() {
  if (closed_ || writing_) return false;
  const auto context = context_;
  const std::string waiting = std::exchange(unwritten_, {});
  absl::string_view output = waiting;
  if (output.empty()) {
    output = {context->write_buffer.data(), session_.TakeOutput(absl::MakeSpan(context->write_buffer), Now())};
  }
  const bool any = !output.empty();
  while (!output.empty()) {
    std::error_code error;
    const size_t size = socket_.write_some(asio::buffer(output.data(), output.size()), error);
    if (error == asio::error::interrupted) continue;
    if (error == asio::error::would_block) {
      unwritten_ = std::string(output);
      WaitWritable();
      return false;
    }
    if (error) {
      Close(absl::UnavailableError(error.message()));
      return false;
    }
    context->sent->Increment(static_cast<double>(size));
    output.remove_prefix(size);
  }
  return any;
}

void Connection::WaitWritable() {
  writing_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_write, [self = shared_from_this()](const std::error_code& error) {
    self->writing_ = false;
    if (self->closed_) return;
    if (error) return self->Close(absl::UnavailableError(error.message()));
    self->Flush();
  });
}

void Connection::ArmTimer() {
  if (closed_) return;
  const absl::Time due = std::min({session_.NextTimeout(), IdleDeadline(), calls_.NextDeadline()});
  // A timer that fires too early looks again; so one that is pushed back need not be set anew for every byte.
  if (due >= armed_for_ || due == absl::InfiniteFuture()) return;
  armed_for_ = due;
  timer_.expires_after(TimerDelay(due - Now()));
  timer_.async_wait([self = shared_from_this()](const std::error_code& error) {
    if (!error && !self->closed_) self->OnTimer();
  });
}

void Connection::OnTimer() {
  armed_for_ = absl::InfiniteFuture();
  const absl::Time now = Now();
  if (session_.NextTimeout() <= now) {
    if (const absl::Status status = session_.OnTimeout(now); !status.ok()) return Close(status);
  }
  calls_.OnDeadlines(now);
  if (IdleDeadline() <= now) {
    session_.GoAway();
    return Close(absl::UnavailableError(retired_ ? "the peer is going away" : "the session was idle"));
  }
  Flush();
}

void Connection::Retire() {
  if (std::exchange(retired_, true)) return;
  if (const auto owner = context_->owner.lock(); owner != nullptr) owner->OnRetired(shared_from_this());
}

absl::Time Connection::Now() const { return SteadyNow(*context_->clock); }

absl::Time Connection::IdleDeadline() const {
  if (!session_.established() || session_.open_streams() > 0 || writing_) return absl::InfiniteFuture();
  if (retired_) return last_used_;
  // The dialler hangs up first: it knows that it is not about to open a stream.
  return last_used_ + context_->idle_timeout * (dialled_ ? 1 : 2);
}

std::shared_ptr<SessionStream> Connection::Find(session::StreamId id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second.lock();
}

}  // namespace dotagent::p2p
