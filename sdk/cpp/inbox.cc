#include "sdk/cpp/inbox.h"

#include <atomic>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/record/answer.h"
#include "common/record/seal.h"
#include "common/rpc/driven_stream.h"
#include "common/rpc/refusal.h"
#include "sdk/cpp/agent.h"

namespace dotagent::sdk {

namespace v1 = ::dotagent::gateway::v1;

struct Inbox::Impl {
  Impl(Agent& owner, std::shared_ptr<GatewayClient> client)
      : agent(owner),
        gateway(std::move(client)),
        stream(
            [this](grpc::ClientContext& context, auto* queue) {
              gateway->Authorize(context);
              return gateway->stub().PrepareAsyncInbox(&context, queue);
            },
            gateway->options().spin) {}

  [[nodiscard]] absl::StatusOr<v1::InboxResponse> Take(absl::Duration timeout) {
    absl::StatusOr<v1::InboxResponse> response = stream.Read(absl::Now() + timeout);
    if (cancelled) return absl::CancelledError("the inbox was closed here");
    return response;
  }

  void Cancel() {
    cancelled = true;
    stream.Cancel();
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
    auto verified = Verify(in);
    if (!verified.ok()) return RejectedMessage{in.sequence(), verified.status()};
    if (record::IsSealed(*verified)) return Open(in, *std::move(verified));
    return ReceivedMessage{in.sequence(), *std::move(verified), in.attachment(), in.deliveries()};
  }
  [[nodiscard]] InboxItem Open(const v1::InboxMessage& in, record::Message message) {
    // Verified: the key is one.
    const crypto::PublicKey sender = *crypto::PublicKey::FromUncheckedBytes(in.sender_key());
    absl::StatusOr<record::OpenedContent> opened = agent.Open(message, in.attachment(), sender);
    if (opened.ok()) {
      return ReceivedMessage{in.sequence(), std::move(message), std::move(opened->attachment), in.deliveries(),
                             std::move(opened->content)};
    }
    const bool needs_former_key =
        absl::IsFailedPrecondition(opened.status()) && ReasonOf(opened.status()) == reason::kKeyMismatch;
    return RejectedMessage{in.sequence(), opened.status(), std::move(message), needs_former_key};
  }
  [[nodiscard]] InboxItem Check(const v1::ReceivedRequest& in) {
    const absl::Time deadline = absl::Now() + absl::Milliseconds(in.timeout_ms());
    auto verified = Verify(in);
    // There is nothing to acknowledge.
    if (!verified.ok()) return RejectedMessage{0, verified.status()};
    return ReceivedRequest{*std::move(verified), in.attachment(), deadline};
  }

  [[nodiscard]] absl::Status Write(const v1::InboxRequest& request, absl::string_view if_ended) {
    if (stream.Write(request, absl::Now() + gateway->options().timeout).ok()) return absl::OkStatus();
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
  std::atomic<bool> cancelled = false;
  uint64_t pending = 0;
  rpc::DrivenStream<v1::InboxRequest, v1::InboxResponse> stream;
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
  static_cast<void>(inbox->impl_->stream.Write(open, absl::Now() + timeout));
  ASSIGN_OR_RETURN(const v1::InboxResponse first, inbox->impl_->Take(timeout));
  if (!first.has_ready())
    return ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol,
                           "the gateway did not begin the inbox with `ready`");
  inbox->impl_->pending = first.ready().pending();
  return inbox;
}

Inbox::~Inbox() = default;

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
      return RefusedAnswer{rpc::ReadRefusal(response.refused())};
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
