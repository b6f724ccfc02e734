#include "services/gateway/sidecar.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/record/answer.h"
#include "common/record/topic.h"
#include "services/gateway/sidecar_content.h"
#include "services/gateway/sidecar_inbox.h"

namespace dotagent::gateway_service {

Sidecar::Sidecar(const Parts& parts)
    : parts_(parts),
      token_(parts.gateway.authenticator().AdmitLocal(parts.key->public_key())),
      keeper_({.name = parts.name,
               .key = *parts.key,
               .addresses = parts.addresses,
               .proof = parts.proof,
               .publish =
                   [this](const gateway::v1::RegisterRequest& request, NameKeeper::Registered done) {
                     parts_.gateway.Register(token_, request, std::move(done));
                   },
               .clock = parts.clock,
               .random = parts.random}),
      registered_(parts.metrics.AddGauge("dotagent_gateway_sidecar_registered",
                                         "1 if the record of the agent beside this gateway is in the DHT.")) {}

void Sidecar::Tick() {
  keeper_.Tick();
  registered_.Set(parts_.clock.Now() < keeper_.expires() ? 1 : 0);
}

sidecar::v1::GetAgentResponse Sidecar::GetAgent() const {
  sidecar::v1::GetAgentResponse response;
  response.set_name(parts_.name.text());
  response.set_public_key(std::string(parts_.key->public_key().bytes()));
  response.set_registered(parts_.clock.Now() < keeper_.expires());
  if (keeper_.expires() != absl::InfinitePast()) response.set_expires_at_ms(absl::ToUnixMillis(keeper_.expires()));
  if (!keeper_.outcome().ok()) response.set_error(keeper_.outcome().ToString());
  return response;
}

template <typename Said>
absl::StatusOr<record::Message> Sidecar::Sign(const Said& said, record::MessageType type, std::string id,
                                              const std::string& recipient) const {
  ASSIGN_OR_RETURN(record::Json content, ContentOf(said.content_json(), said.attachment(), said.media_type()));
  return record::Message::Sign({.id = id.empty() ? record::NewMessageId(parts_.random) : std::move(id),
                                .type = type,
                                .sender = parts_.name.text(),
                                .recipient = recipient,
                                .timestamp = parts_.clock.Now(),
                                .content = std::move(content)},
                               *parts_.key);
}

void Sidecar::Send(const sidecar::v1::SendRequest& request, Done<sidecar::v1::SendResponse> done) {
  const auto type = TypeOf(request.type());
  if (!type.ok()) return done(type.status());
  const auto message = Sign(request, *type, request.id(), request.recipient());
  if (!message.ok()) return done(message.status());
  gateway::v1::SendRequest sent;
  sent.set_message_json(message->json());
  sent.set_attachment(request.attachment());
  sent.set_token(request.token());
  parts_.gateway.Send(
      token_, sent,
      [id = message->id(), done = std::move(done)](const absl::StatusOr<gateway::v1::SendResponse>& taken) {
        if (!taken.ok()) return done(taken.status());
        sidecar::v1::SendResponse response;
        response.set_id(id);
        response.set_duplicate(taken->duplicate());
        done(std::move(response));
      });
}

void Sidecar::Request(const sidecar::v1::RequestRequest& request, absl::Time deadline,
                      Done<sidecar::v1::RequestResponse> done) {
  const auto asked = Sign(request, record::MessageType::kRequest, "", request.recipient());
  if (!asked.ok()) return done(asked.status());
  gateway::v1::RequestRequest sent;
  sent.set_message_json(asked->json());
  sent.set_attachment(request.attachment());
  sent.set_token(request.token());
  parts_.gateway.Request(
      token_, sent, deadline, [this, done = std::move(done)](absl::StatusOr<gateway::v1::RequestResponse> answered) {
        const auto response = [&]() -> absl::StatusOr<sidecar::v1::RequestResponse> {
          RETURN_IF_ERROR(answered.status());
          // The gateway has checked that it answers the request, and who signed it.
          ASSIGN_OR_RETURN(const record::Record recipient,
                           record::Record::Verify(answered->recipient_record_json(), parts_.clock.Now()));
          ASSIGN_OR_RETURN(
              const record::Message answer,
              record::Message::Verify(answered->message_json(), recipient.public_key(), parts_.clock.Now()));
          RETURN_IF_ERROR(record::StatusOfAnswer(answer));
          sidecar::v1::RequestResponse result;
          ASSIGN_OR_RETURN(*result.mutable_content_json(), ContentJson(answer));
          result.set_attachment(std::move(*answered->mutable_attachment()));
          result.set_message_json(answer.json());
          return result;
        }();
        done(response);
      });
}

void Sidecar::Publish(const sidecar::v1::PublishRequest& request, Done<sidecar::v1::PublishResponse> done) {
  const auto message = [&]() -> absl::StatusOr<record::Message> {
    ASSIGN_OR_RETURN(const record::Topic topic, record::Topic::Parse(request.topic()));
    ASSIGN_OR_RETURN(record::Json content, ContentOf(request.content_json(), "", ""));
    ASSIGN_OR_RETURN(content, record::PublicationContent(topic, std::move(content)));
    return record::Message::Sign({.id = record::NewMessageId(parts_.random),
                                  .sender = parts_.name.text(),
                                  .recipient = parts_.name.text(),
                                  .timestamp = parts_.clock.Now(),
                                  .content = std::move(content)},
                                 *parts_.key);
  }();
  if (!message.ok()) return done(message.status());
  gateway::v1::PublishRequest sent;
  sent.set_message_json(message->json());
  parts_.gateway.Publish(
      token_, sent,
      [id = message->id(), done = std::move(done)](const absl::StatusOr<gateway::v1::PublishResponse>& published) {
        if (!published.ok()) return done(published.status());
        sidecar::v1::PublishResponse response;
        response.set_id(id);
        response.set_sequence(published->sequence());
        response.set_subscribers(published->subscribers());
        response.set_gateways(published->gateways());
        done(std::move(response));
      });
}

void Sidecar::Listen(std::shared_ptr<ListenStream> stream) {
  auto sign = [this](const record::Message& request,
                     const sidecar::v1::ListenAnswer& answer) -> absl::StatusOr<record::Message> {
    const std::string& recipient = request.sender().text();
    if (answer.error_code() == 0) return Sign(answer, record::MessageType::kResponse, request.id(), recipient);
    if (!answer.content_json().empty() || !answer.attachment().empty()) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage,
                             "an answer is an error or has a content, not both");
    }
    ASSIGN_OR_RETURN(const absl::Status error, ErrorOf(answer.error_code(), answer.error()));
    return record::Message::Sign({.id = request.id(),
                                  .type = record::MessageType::kError,
                                  .sender = parts_.name.text(),
                                  .recipient = recipient,
                                  .timestamp = parts_.clock.Now(),
                                  .content = record::ErrorContent(error)},
                                 *parts_.key);
  };
  parts_.gateway.Inbox(
      token_, std::make_shared<SidecarInbox>(std::move(stream), parts_.name.text(), std::move(sign), parts_.clock));
}

void Sidecar::Subscribe(const sidecar::v1::SubscribeRequest& request, std::shared_ptr<EventStream> stream) {
  const auto message = [&]() -> absl::StatusOr<record::Message> {
    ASSIGN_OR_RETURN(const record::TopicPattern pattern, record::TopicPattern::Parse(request.pattern()));
    return record::Message::Sign({.id = record::NewMessageId(parts_.random),
                                  .type = record::MessageType::kRequest,
                                  .sender = parts_.name.text(),
                                  .recipient = request.publisher(),
                                  .timestamp = parts_.clock.Now(),
                                  .content = record::SubscriptionContent(pattern)},
                                 *parts_.key);
  }();
  if (!message.ok()) return stream->Finish(message.status());
  gateway::v1::SubscribeRequest asked;
  asked.set_message_json(message->json());
  asked.set_token(request.token());
  asked.set_durable_name(request.durable_name());
  parts_.gateway.Subscribe(token_, asked, std::move(stream));
}

}  // namespace dotagent::gateway_service
