#include "sdk/cpp/channel.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/rpc/status.h"
#include "common/session/reset_code.h"
#include "common/session/session.h"

namespace dotagent::sdk {
namespace {

namespace v1 = ::dotagent::gateway::v1;

// What a gateway takes at a time (protos/dotagent/gateway/v1). Whatever waits goes together, and nothing waits for
// more: a chunk passes from thread to thread several times on its way, whatever its size.
constexpr size_t kChunk = 256 * 1024;
constexpr absl::Duration kHandshakeTimeout = absl::Seconds(20);

absl::Status Ended() { return absl::CancelledError("the channel was ended here"); }

}  // namespace

// Two threads: one reads the pipe and feeds the session, one writes what the session has to say. They are apart so that
// each direction moves while the other is stuck; with one, two ends that both write would wait for each other for ever.
struct Channel::Impl {
  Impl(std::shared_ptr<GatewayClient> client, session::Role role, const crypto::PublicKey& peer, std::string spoken)
      : gateway(std::move(client)),
        protocol(std::move(spoken)),
        is_caller(role == session::Role::kDialler),
        session_options({.role = role,
                         .identity = &gateway->key(),
                         .expected_peer = peer,
                         .random = &random,
                         .handshake_timeout = kHandshakeTimeout}),
        core(session_options, absl::Now()) {
    gateway->Authorize(context);
    pipe = gateway->stub().OpenChannel(&context);
  }

  ~Impl() {
    Cancel();
    if (reader.joinable()) reader.join();
    if (writer.joinable()) writer.join();
  }

  // Sends the first request, waits for `opened`, shakes hands, agrees on the stream.
  [[nodiscard]] absl::Status Open(const v1::OpenChannelRequest& first) {
    static_cast<void>(pipe->Write(first));  // if it fails, ReadPipe learns why
    reader = std::thread([this] { ReadPipe(); });
    RETURN_IF_ERROR(AwaitOpened());
    writer = std::thread([this] { WritePipe(); });

    absl::MutexLock lock(&mutex);
    if (!mutex.AwaitWithTimeout(absl::Condition(this, &Impl::EstablishedOrEnded), kHandshakeTimeout)) {
      return ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kUnreachable,
                             "the other agent did not complete the handshake in time");
    }
    RETURN_IF_ERROR(CheckOpen());
    if (!is_caller) return absl::OkStatus();  // the stream has come, or EstablishedOrEnded would wait
    ASSIGN_OR_RETURN(stream, core.OpenStream(protocol));
    return absl::OkStatus();
  }

  [[nodiscard]] absl::Status AwaitOpened() {
    absl::MutexLock lock(&mutex);
    if (!mutex.AwaitWithTimeout(absl::Condition(this, &Impl::OpenedOrEnded), gateway->options().timeout)) {
      return ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kUnreachable,
                             "the gateway did not open the channel in time; try again");
    }
    return opened ? absl::OkStatus() : WithContext(CheckOpen(), "the channel was refused");
  }

  [[nodiscard]] bool OpenedOrEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return opened || ended || pipe_closed;
  }

  [[nodiscard]] bool EstablishedOrEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return ended || pipe_closed || (core.established() && (is_caller || stream.has_value()));
  }

  void ReadPipe() {
    v1::OpenChannelResponse response;
    while (pipe->Read(&response)) {
      absl::MutexLock lock(&mutex);
      if (ended) continue;  // only drains
      if (opened) {
        Feed(response.data());
      } else if (response.has_opened()) {
        opened = true;
        path = response.opened().path();
        // Anew: the time for the handshake begins when there is somebody to shake hands with.
        core = session::Session(session_options, absl::Now());
      } else {
        End(ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol,
                            "the gateway did not begin the channel with `opened`"));
        context.TryCancel();
      }
    }
    const absl::Status end = rpc::FromGrpc(pipe->Finish());
    absl::MutexLock lock(&mutex);
    pipe_closed = true;
    // Closed in order: what has arrived can still be read, and whoever wants more than that is told.
    if (!end.ok()) End(end);
  }

  void WritePipe() {
    // Both kept from chunk to chunk: memory of this size costs page faults each time that it is taken anew.
    const auto room = std::make_unique_for_overwrite<char[]>(kChunk);
    v1::OpenChannelRequest request;
    for (;;) {
      {
        absl::MutexLock lock(&mutex);
        mutex.AwaitWithDeadline(absl::Condition(this, &Impl::ShouldWrite), core.NextTimeout());
        if (!ShouldWrite()) {
          const absl::Status late = core.OnTimeout(absl::Now());
          if (!late.ok()) End(late);
          continue;
        }
        const size_t size = core.TakeOutput(absl::MakeSpan(room.get(), kChunk), absl::Now());
        request.set_data(room.get(), size);
        TakeEvents();  // what was taken made room for a Write that waits
        if (size == 0) {
          if (NothingFollows()) break;
          continue;
        }
      }
      if (!pipe->Write(request)) return;  // ReadPipe learns why
    }
    pipe->WritesDone();
  }

  [[nodiscard]] bool ShouldWrite() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return core.HasOutput() || NothingFollows();
  }

  // Both ends have finished, and the session has forgotten the stream: so what was written has also been sent, and does
  // not still wait for credit.
  [[nodiscard]] bool NothingFollows() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return ended || pipe_closed || (local_finished && remote_finished && core.open_streams() == 0);
  }

  void Feed(absl::string_view bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const absl::Status fed = core.Receive(bytes, absl::Now());
    TakeEvents();
    if (!fed.ok()) End(fed);
  }

  void TakeEvents() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    for (const session::Event& event : core.TakeEvents()) {
      switch (event.kind) {
        case session::Event::Kind::kStreamOpened:
          if (!is_caller && !stream && event.protocol == protocol) {
            stream = event.stream;
          } else {
            core.Reset(event.stream, session::reset_code::kRefused);
          }
          break;
        case session::Event::Kind::kStreamReset:
          if (stream == event.stream) {
            End(WithContext(session::StatusOfReset(event.code), "the other agent ended the channel"));
          }
          break;
        case session::Event::Kind::kWritable:
          write_blocked = false;
          break;
        default:  // the conditions that threads wait for ask the session itself
          break;
      }
    }
    ++changes;
  }

  // Why nothing more can come or go.
  [[nodiscard]] absl::Status CheckOpen() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (!status.ok() || !pipe_closed) return status;
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                           "the channel was cut before both ends had finished");
  }

  // Waits until the session takes much more than a byte again, or the end.
  void AwaitRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    write_blocked = true;
    const auto may = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return ended || pipe_closed || !write_blocked; };
    mutex.Await(absl::Condition(&may));
  }

  // Waits for the next round of events, or the end.
  void AwaitChange() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const auto changed = [this, before = changes]()
                             ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return ended || pipe_closed || changes != before; };
    mutex.Await(absl::Condition(&changed));
  }

  // The first cause stays.
  void End(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (std::exchange(ended, true)) return;
    status = why;
  }

  void Cancel() {
    {
      absl::MutexLock lock(&mutex);
      End(Ended());
    }
    context.TryCancel();
  }

  SystemRandom random;
  const std::shared_ptr<GatewayClient> gateway;
  const std::string protocol;
  const bool is_caller;
  const session::Options session_options;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::OpenChannelRequest, v1::OpenChannelResponse>> pipe;
  absl::Mutex mutex;
  bool opened ABSL_GUARDED_BY(mutex) = false;
  std::string path;  // does not change once opened
  session::Session core ABSL_GUARDED_BY(mutex);
  std::optional<session::StreamId> stream ABSL_GUARDED_BY(mutex);
  uint64_t changes ABSL_GUARDED_BY(mutex) = 0;        // rounds of events, for those who wait for the next
  bool write_blocked ABSL_GUARDED_BY(mutex) = false;  // a Write waits for kWritable
  bool local_finished ABSL_GUARDED_BY(mutex) = false;
  bool remote_finished ABSL_GUARDED_BY(mutex) = false;
  bool ended ABSL_GUARDED_BY(mutex) = false;
  bool pipe_closed ABSL_GUARDED_BY(mutex) = false;
  absl::Status status ABSL_GUARDED_BY(mutex);
  std::thread reader;
  std::thread writer;
};

Channel::Channel() = default;
Channel::~Channel() = default;

absl::StatusOr<std::unique_ptr<Channel>> Channel::Call(std::shared_ptr<GatewayClient> gateway,
                                                       const std::string& caller, const std::string& recipient,
                                                       const crypto::PublicKey& peer, const ChannelCallOptions& options,
                                                       const std::string& protocol) {
  std::unique_ptr<Channel> channel(new Channel());
  channel->impl_ = std::make_unique<Impl>(std::move(gateway), session::Role::kDialler, peer, protocol);
  v1::OpenChannelRequest first;
  first.mutable_call()->set_recipient(recipient);
  first.mutable_call()->set_caller(caller);
  first.mutable_call()->set_method(options.method);
  first.mutable_call()->set_token(options.token);
  RETURN_IF_ERROR(channel->impl_->Open(first));
  return channel;
}

absl::StatusOr<std::unique_ptr<Channel>> Channel::Accept(std::shared_ptr<GatewayClient> gateway,
                                                         const ChannelOffer& offer, const crypto::PublicKey& peer,
                                                         const std::string& protocol) {
  std::unique_ptr<Channel> channel(new Channel());
  channel->impl_ = std::make_unique<Impl>(std::move(gateway), session::Role::kListener, peer, protocol);
  v1::OpenChannelRequest first;
  first.mutable_accept()->set_channel_id(offer.channel_id);
  RETURN_IF_ERROR(channel->impl_->Open(first));
  return channel;
}

absl::Status Channel::Write(absl::string_view data) {
  absl::MutexLock lock(&impl_->mutex);
  while (!data.empty()) {
    RETURN_IF_ERROR(impl_->CheckOpen());
    ASSIGN_OR_RETURN(const size_t taken, impl_->core.Write(*impl_->stream, data));
    data.remove_prefix(taken);
    // The session says kWritable once half of its buffer is free: one that is woken for each message that leaves would
    // be woken that much more often.
    if (!data.empty()) impl_->AwaitRoom();
  }
  return absl::OkStatus();
}

absl::Status Channel::CloseWrite() {
  absl::MutexLock lock(&impl_->mutex);
  if (impl_->local_finished) return absl::OkStatus();
  RETURN_IF_ERROR(impl_->CheckOpen());
  RETURN_IF_ERROR(impl_->core.CloseWrite(*impl_->stream));
  impl_->local_finished = true;
  return absl::OkStatus();
}

absl::StatusOr<std::string> Channel::Read(size_t max) {
  absl::MutexLock lock(&impl_->mutex);
  for (;;) {
    if (impl_->remote_finished) return std::string();
    RETURN_IF_ERROR(impl_->status);
    ASSIGN_OR_RETURN(session::ReadResult result, impl_->core.Read(*impl_->stream, max));
    if (result.finished) impl_->remote_finished = true;
    if (result.finished || !result.data.empty()) return std::move(result.data);
    RETURN_IF_ERROR(impl_->CheckOpen());
    impl_->AwaitChange();
  }
}

absl::Status Channel::Finish(absl::Duration timeout) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::string rest, Read(kChunk));
    if (rest.empty()) break;
  }
  absl::MutexLock lock(&impl_->mutex);
  if (!impl_->mutex.AwaitWithTimeout(absl::Condition(&impl_->pipe_closed), timeout)) {
    return absl::DeadlineExceededError("the other agent did not close the channel in time");
  }
  return impl_->local_finished ? impl_->status : impl_->CheckOpen();
}

void Channel::Cancel() { impl_->Cancel(); }

const crypto::PublicKey& Channel::peer_key() const {
  absl::MutexLock lock(&impl_->mutex);
  return impl_->core.peer_key();
}

const std::string& Channel::path() const { return impl_->path; }

}  // namespace dotagent::sdk
