#include "services/gateway/sidecar_inbox.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/rpc/refusal.h"
#include "common/telemetry/log.h"
#include "services/gateway/sidecar_content.h"

namespace dotagent::gateway_service {

using gateway::v1::InboxRequest;
using gateway::v1::InboxResponse;
using sidecar::v1::ListenRequest;
using sidecar::v1::ListenResponse;

void SidecarInbox::Read(std::function<void(std::optional<InboxRequest>)> done) {
  stream_->Read([self = shared_from_this(), done = std::move(done)](const std::optional<ListenRequest>& request) {
    if (!request) return done(std::nullopt);
    auto translated = self->Translate(*request);
    if (translated.ok()) return done(*std::move(translated));
    self->Refuse(translated.status());
    self->Read(done);
  });
}

absl::StatusOr<InboxRequest> SidecarInbox::Translate(const ListenRequest& request) {
  InboxRequest translated;
  if (request.has_open()) {
    translated.mutable_open()->set_name(name_);
    translated.mutable_open()->set_accept_requests(request.open().accept_requests());
    translated.mutable_open()->set_after_sequence(request.open().after_sequence());
  } else if (request.has_ack()) {
    *translated.mutable_ack()->mutable_sequences() = request.ack().sequences();
  } else if (request.has_answer()) {
    ASSIGN_OR_RETURN(*translated.mutable_answer(), Answer(request.answer()));
  }
  return translated;  // one that says nothing is for the Inbox to refuse
}

absl::StatusOr<gateway::v1::InboxAnswer> SidecarInbox::Answer(const sidecar::v1::ListenAnswer& answer) {
  const auto asked = asked_.find(answer.handle());
  if (asked == asked_.end()) {
    return ErrorWithReason(absl::StatusCode::kNotFound, reason::kStale,
                           absl::StrCat("no request with the handle ", answer.handle(), " waits on this stream"));
  }
  ASSIGN_OR_RETURN(const record::Message message, sign_(asked->second, answer));
  asked_.erase(asked);
  gateway::v1::InboxAnswer signed_answer;
  signed_answer.set_message_json(message.json());
  signed_answer.set_attachment(answer.attachment());
  return signed_answer;
}

void SidecarInbox::Write(InboxResponse response, std::function<void(bool)> done) {
  auto translated = Translate(response);
  if (!translated.ok()) {
    // It stays in the inbox, unacknowledged, and becomes a dead letter in time.
    telemetry::Log(telemetry::Level::kError, "what was in the agent's inbox does not verify; it is not handed over",
                   {{"why", translated.status().ToString()}});
    translated = ListenResponse();
  }
  next_ = Waiting{*std::move(translated), std::move(done)};
  Pump();
}

absl::StatusOr<ListenResponse> SidecarInbox::Translate(InboxResponse& response) {
  ListenResponse translated;
  switch (response.event_case()) {
    case InboxResponse::kReady:
      *translated.mutable_ready() = response.ready();
      break;
    case InboxResponse::kMessage: {
      ASSIGN_OR_RETURN(*translated.mutable_message(), Show(*response.mutable_message()));
      break;
    }
    case InboxResponse::kRequest: {
      ASSIGN_OR_RETURN(*translated.mutable_request(), Show(*response.mutable_request()));
      break;
    }
    case InboxResponse::kRefused:
      *translated.mutable_refused() = std::move(*response.mutable_refused());
      break;
    case InboxResponse::kOffer:  // the Inbox was opened without channels
    case InboxResponse::EVENT_NOT_SET:
      break;
  }
  return translated;
}

absl::StatusOr<sidecar::v1::ReceivedMessage> SidecarInbox::Show(gateway::v1::InboxMessage& in) const {
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromUncheckedBytes(in.sender_key()));
  ASSIGN_OR_RETURN(const record::Message message, record::Message::Verify(in.message_json(), key, clock_.Now()));
  RETURN_IF_ERROR(message.CheckAttachment(in.attachment()));
  sidecar::v1::ReceivedMessage out;
  out.set_sequence(in.sequence());
  out.set_id(message.id());
  out.set_type(TypeOf(message.type()));
  out.set_sender(message.sender().text());
  ASSIGN_OR_RETURN(*out.mutable_content_json(), ContentJson(message));
  out.set_attachment(std::move(*in.mutable_attachment()));
  out.set_timestamp_ms(absl::ToUnixMillis(message.timestamp()));
  out.set_deliveries(in.deliveries());
  out.set_message_json(std::move(*in.mutable_message_json()));
  return out;
}

absl::StatusOr<sidecar::v1::ReceivedRequest> SidecarInbox::Show(gateway::v1::ReceivedRequest& in) {
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromUncheckedBytes(in.sender_key()));
  ASSIGN_OR_RETURN(record::Message message, record::Message::Verify(in.message_json(), key, clock_.Now()));
  RETURN_IF_ERROR(message.CheckAttachment(in.attachment()));
  sidecar::v1::ReceivedRequest out;
  out.set_handle(++last_handle_);
  out.set_sender(message.sender().text());
  ASSIGN_OR_RETURN(*out.mutable_content_json(), ContentJson(message));
  out.set_attachment(std::move(*in.mutable_attachment()));
  out.set_timeout_ms(in.timeout_ms());
  out.set_message_json(std::move(*in.mutable_message_json()));
  if (asked_.size() >= kMaxHandles) asked_.erase(asked_.begin());
  asked_.emplace(last_handle_, std::move(message));
  return out;
}

void SidecarInbox::Refuse(const absl::Status& why) {
  if (refused_.size() >= kMaxRefused) {
    return Finish(ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                                  "too many answers are refused, and this agent does not read why"));
  }
  rpc::WriteRefusal(why, &refused_.emplace_back());
  Pump();
}

void SidecarInbox::Pump() {
  if (writing_ || (refused_.empty() && !next_)) return;
  Waiting now;
  if (!refused_.empty()) {
    *now.response.mutable_refused() = std::move(refused_.front());
    refused_.pop_front();
  } else {
    now = *std::exchange(next_, std::nullopt);
  }
  writing_ = true;
  stream_->Write(std::move(now.response), [self = shared_from_this(), done = std::move(now.done)](bool ok) {
    self->writing_ = false;
    if (done) done(ok);
    self->Pump();
  });
}

}  // namespace dotagent::gateway_service
