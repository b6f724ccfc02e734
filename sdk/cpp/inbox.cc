#include "sdk/cpp/inbox.h"

#include <grpcpp/client_context.h>

#include <deque>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/record/answer.h"
#include "common/rpc/status.h"
#include "sdk/cpp/agent.h"

namespace dotagent::sdk {
namespace {

namespace v1 = ::dotagent::gateway::v1;

constexpr size_t kMaxWaiting = 64;

}  // namespace

struct Inbox::Impl {
  Impl(Agent& owner, std::shared_ptr<GatewayClient> client) : agent(owner), gateway(std::move(client)) {
    gateway->Authorize(context);
    stream = gateway->stub().Inbox(&context);
  }

  // Reads until the stream ends; waits when the queue is full, and so lets the gateway wait.
  void ReadAll() {
    v1::InboxResponse response;
    while (stream->Read(&response)) {
      absl::MutexLock lock(&mutex);
      mutex.Await(absl::Condition(this, &Impl::HasRoom));
      if (cancelled) break;
      waiting.push_back(std::move(response));
    }
    const absl::Status end = rpc::FromGrpc(stream->Finish());
    absl::MutexLock lock(&mutex);
    ended = true;
    status = end.ok() ? ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                                        "the gateway closed the inbox; open it again")
                      : end;
  }

  [[nodiscard]] bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return cancelled || waiting.size() < kMaxWaiting;
  }
  [[nodiscard]] bool HasNews() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return cancelled || ended || !waiting.empty();
  }

  [[nodiscard]] absl::StatusOr<v1::InboxResponse> Take(absl::Duration timeout) {
    absl::MutexLock lock(&mutex);
    if (!mutex.AwaitWithTimeout(absl::Condition(this, &Impl::HasNews), timeout))
      return absl::DeadlineExceededError("nothing has come");
    if (cancelled) return absl::CancelledError("the inbox was closed here");
    if (waiting.empty()) return status;
    v1::InboxResponse response = std::move(waiting.front());
    waiting.pop_front();
    return response;
  }

  void Cancel() {
    {
      absl::MutexLock lock(&mutex);
      cancelled = true;
    }
    context.TryCancel();
  }

  // Verifies a message, or a request, against its sender's record.
  template <typename In>
  [[nodiscard]] absl::StatusOr<record::Message> Verify(const In& in) {
    // Unchecked: CheckKey has it equal the key of a record, which was checked.
    ASSIGN_OR_RETURN(const crypto::PublicKey claimed, crypto::PublicKey::FromUncheckedBytes(in.sender_key()));
    ASSIGN_OR_RETURN(record::Message message, record::Message::Verify(in.message_json(), claimed, absl::Now()));
    RETURN_IF_ERROR(message.CheckAttachment(in.attachment()));
    RETURN_IF_ERROR(WithContext(agent.CheckKey(message.sender(), claimed), "the key that signed the message"));
    return message;
  }
  [[nodiscard]] InboxItem Check(const v1::InboxMessage& in) {
    const auto verified = Verify(in);
    if (!verified.ok()) return RejectedMessage{in.sequence(), verified.status()};
    return ReceivedMessage{in.sequence(), *verified, in.attachment(), in.deliveries()};
  }
  [[nodiscard]] InboxItem Check(const v1::ReceivedRequest& in) {
    const absl::Time deadline = absl::Now() + absl::Milliseconds(in.timeout_ms());
    const auto verified = Verify(in);
    // There is nothing to acknowledge.
    if (!verified.ok()) return RejectedMessage{0, verified.status()};
    return ReceivedRequest{*verified, in.attachment(), deadline};
  }

  [[nodiscard]] absl::Status Write(const v1::InboxRequest& request, absl::string_view if_ended) {
    absl::MutexLock lock(&write_mutex);
    if (stream->Write(request)) return absl::OkStatus();
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable, if_ended);
  }

  [[nodiscard]] absl::Status Answer(const ReceivedRequest& asked, record::MessageType type,
                                    const record::Json& content) {
    ASSIGN_OR_RETURN(const record::Message answer, record::Message::Sign({.id = asked.message.id(),
                                                                          .type = type,
                                                                          .sender = asked.message.recipient().text(),
                                                                          .recipient = asked.message.sender().text(),
                                                                          .timestamp = absl::Now(),
                                                                          .content = content},
                                                                         gateway->key()));
    v1::InboxRequest request;
    request.mutable_answer()->set_message_json(answer.json());
    return Write(request, "the inbox has ended, and with it the request");
  }

  Agent& agent;
  const std::shared_ptr<GatewayClient> gateway;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::InboxRequest, v1::InboxResponse>> stream;
  uint64_t pending = 0;
  absl::Mutex write_mutex;  // one write at a time
  absl::Mutex mutex;
  std::deque<v1::InboxResponse> waiting ABSL_GUARDED_BY(mutex);
  bool ended ABSL_GUARDED_BY(mutex) = false;
  bool cancelled ABSL_GUARDED_BY(mutex) = false;
  absl::Status status ABSL_GUARDED_BY(mutex);
  std::thread reader;
};

Inbox::Inbox() = default;

absl::StatusOr<std::unique_ptr<Inbox>> Inbox::Open(Agent& agent, std::shared_ptr<GatewayClient> gateway,
                                                   const std::string& name, const InboxOptions& options) {
  std::unique_ptr<Inbox> inbox(new Inbox());
  const absl::Duration timeout = gateway->options().timeout;
  inbox->impl_ = std::make_unique<Impl>(agent, std::move(gateway));
  v1::InboxRequest open;
  open.mutable_open()->set_name(name);
  open.mutable_open()->set_accept_channels(options.accept_channels);
  open.mutable_open()->set_accept_requests(options.accept_requests);
  open.mutable_open()->set_after_sequence(options.after_sequence);
  // A failed write is explained by the stream's status, which Take returns.
  static_cast<void>(inbox->impl_->stream->Write(open));
  inbox->impl_->reader = std::thread([impl = inbox->impl_.get()] { impl->ReadAll(); });
  ASSIGN_OR_RETURN(const v1::InboxResponse first, inbox->impl_->Take(timeout));
  if (!first.has_ready())
    return ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol,
                           "the gateway did not begin the inbox with `ready`");
  inbox->impl_->pending = first.ready().pending();
  return inbox;
}

Inbox::~Inbox() {
  if (!impl_) return;
  impl_->Cancel();
  if (impl_->reader.joinable()) impl_->reader.join();
}

void Inbox::Cancel() { impl_->Cancel(); }

absl::StatusOr<InboxItem> Inbox::Next(absl::Duration timeout) {
  ASSIGN_OR_RETURN(const v1::InboxResponse response, impl_->Take(timeout));
  switch (response.event_case()) {
    case v1::InboxResponse::kMessage:
      return impl_->Check(response.message());
    case v1::InboxResponse::kOffer: {
      ASSIGN_OR_RETURN(const crypto::PublicKey caller, crypto::PublicKey::FromBytes(response.offer().caller_key()));
      return ChannelOffer{.channel_id = response.offer().channel_id(),
                          .caller = response.offer().caller(),
                          .caller_key = caller,
                          .method = response.offer().method(),
                          .token = response.offer().token()};
    }
    case v1::InboxResponse::kRequest:
      return impl_->Check(response.request());
    case v1::InboxResponse::kRefused:
      return RefusedAnswer{
          rpc::FromParts(response.refused().code(), response.refused().message(), response.refused().reason())};
    case v1::InboxResponse::kReady:
    case v1::InboxResponse::EVENT_NOT_SET:
      break;
  }
  return ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol,
                         "the gateway sent an inbox event that this release does not know; use a newer one");
}

absl::Status Inbox::Ack(uint64_t sequence) {
  v1::InboxRequest request;
  request.mutable_ack()->add_sequences(sequence);
  return impl_->Write(request, "the inbox has ended; the message will come again");
}

absl::Status Inbox::Answer(const ReceivedRequest& request, const record::Json& content) {
  return impl_->Answer(request, record::MessageType::kResponse, content);
}

absl::Status Inbox::Refuse(const ReceivedRequest& request, const absl::Status& error) {
  return impl_->Answer(request, record::MessageType::kError, record::ErrorContent(error));
}

uint64_t Inbox::pending() const { return impl_->pending; }

}  // namespace dotagent::sdk
