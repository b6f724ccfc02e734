#include "sdk/cpp/agent.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/capability/resource.h"
#include "common/capability/token.h"
#include "common/crypto/key_store_error.h"
#include "common/identity/rotation.h"
#include "common/record/answer.h"
#include "common/record/name.h"

namespace dotagent::sdk {

namespace v1 = ::dotagent::gateway::v1;
namespace {

v1::Priority PriorityOf(Priority priority) {
  switch (priority) {
    case Priority::kLow:
      return v1::PRIORITY_LOW;
    case Priority::kNormal:
      return v1::PRIORITY_NORMAL;
    case Priority::kHigh:
      return v1::PRIORITY_HIGH;
    case Priority::kCritical:
      return v1::PRIORITY_CRITICAL;
  }
  return v1::PRIORITY_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Connect(const AgentOptions& options,
                                                      std::shared_ptr<const crypto::Signer> key) {
  std::string name;
  if (!options.name.empty()) {
    ASSIGN_OR_RETURN(const record::Name parsed, record::Name::Parse(options.name));
    name = parsed.text();
  }
  std::vector<std::shared_ptr<const crypto::SigningKey>> opening_keys = options.former_keys;
  if (auto own = std::dynamic_pointer_cast<const crypto::SigningKey>(key)) opening_keys.push_back(std::move(own));
  ASSIGN_OR_RETURN(auto gateway, GatewayClient::Connect(options.gateway, std::move(key)));
  return std::unique_ptr<Agent>(new Agent(std::move(name), options.proof, std::move(opening_keys), std::move(gateway)));
}

absl::Status Agent::RequireName() const {
  if (!name_.empty()) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kBadName,
                         "this call needs the agent's own name; give one");
}

absl::StatusOr<v1::GetInfoResponse> Agent::GatewayInfo() {
  v1::GetInfoResponse info;
  RETURN_IF_ERROR(
      gateway_->Run([&](grpc::ClientContext& context) { return gateway_->stub().GetInfo(&context, {}, &info); }));
  return info;
}

absl::StatusOr<Registration> Agent::SignAndRegister(const v1::GetInfoResponse& info, const RegisterOptions& options) {
  record::RecordFields fields{
      .name = name_, .protocols = options.protocols, .timestamp = absl::Now(), .ttl_seconds = options.ttl_seconds};
  fields.addresses.assign(info.addresses().begin(), info.addresses().end());
  fields.addresses.insert(fields.addresses.end(), options.extra_addresses.begin(), options.extra_addresses.end());
  if (options.sealed && OpensSealed() && !absl::c_linear_search(fields.protocols, record::kSealedProtocol)) {
    fields.protocols.emplace_back(record::kSealedProtocol);
  }
  ASSIGN_OR_RETURN(const record::Record record, record::Record::Sign(fields, gateway_->key()));
  return RegisterSigned(record.json());
}

absl::StatusOr<Registration> Agent::Register(const RegisterOptions& options) {
  RETURN_IF_ERROR(RequireName());
  ASSIGN_OR_RETURN(const v1::GetInfoResponse info, GatewayInfo());
  return SignAndRegister(info, options);
}

absl::StatusOr<std::optional<identity::RotationChain>> Agent::OwnChain() const {
  ASSIGN_OR_RETURN(const record::NameProof proof, Proof());
  if (proof.rotation_chain.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(const std::vector<std::string> statements, identity::DecodeRotationChain(proof.rotation_chain));
  return identity::VerifyRotationChain(statements, absl::Now());
}

absl::Status Agent::CheckOwn(const record::Record& record) const {
  const crypto::PublicKey& key = gateway_->key().public_key();
  if (record.public_key() == key) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<identity::RotationChain> chain, OwnChain());
  if (chain && chain->current() == key && chain->KeyWasOf(record.public_key())) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, reason::kKeyMismatch,
      absl::StrCat("the record of ", record.name().text(),
                   " holds another key than this agent's, and no rotation leads from it to this one"));
}

absl::StatusOr<Registration> Agent::Refresh(const record::Record& record) {
  RETURN_IF_ERROR(RequireName());
  RETURN_IF_ERROR(CheckOwn(record));
  ASSIGN_OR_RETURN(const v1::GetInfoResponse info, GatewayInfo());
  // What the owner did not list before stays out; what a new key cannot do goes.
  RegisterOptions options{
      .ttl_seconds = absl::ToInt64Seconds(record.ttl()), .protocols = record.protocols(), .sealed = false};
  if (!OpensSealed()) std::erase(options.protocols, record::kSealedProtocol);
  // The gateway's own may be of yesterday, and so may be those of others of its cluster that it lists.
  const auto is_of_listed = [&](const std::string& address) {
    if (absl::EndsWith(address, absl::StrCat("/p2p/", info.peer_id()))) return true;
    return absl::c_any_of(info.addresses(), [&](const std::string& listed) {
      const size_t peer = listed.rfind("/p2p/");
      return listed == address || (peer != std::string::npos && absl::EndsWith(address, listed.substr(peer)));
    });
  };
  // Gateways that a cluster no longer lists come last, and go when there are too many.
  const size_t room = record::kMaxAddresses - std::min<size_t>(record::kMaxAddresses, info.addresses_size());
  for (const std::string& address : record.addresses()) {
    if (!is_of_listed(address) && options.extra_addresses.size() < room) options.extra_addresses.push_back(address);
  }
  return SignAndRegister(info, options);
}

absl::StatusOr<Registration> Agent::RegisterSigned(absl::string_view record_json) {
  ASSIGN_OR_RETURN(record::Record record, record::Record::Verify(record_json, absl::Now()));
  ASSIGN_OR_RETURN(record::NameProof proof, Proof());
  v1::RegisterRequest request;
  request.set_record_json(record.json());
  request.set_rotation_chain(std::move(proof.rotation_chain));
  request.set_name_certificate(std::move(proof.name_certificate));
  v1::RegisterResponse response;
  RETURN_IF_ERROR(gateway_->Run(
      [&](grpc::ClientContext& context) { return gateway_->stub().Register(&context, request, &response); }));
  return Registration{std::move(record), {response.stored_by().begin(), response.stored_by().end()}, response.asked()};
}

absl::StatusOr<ResolvedName> Agent::Resolve(absl::string_view name, bool bypass_cache) {
  ASSIGN_OR_RETURN(const record::Name asked, record::Name::Parse(name));
  v1::ResolveRequest request;
  request.set_name(asked.text());
  request.set_bypass_cache(bypass_cache);
  v1::ResolveResponse response;
  RETURN_IF_ERROR(gateway_->Run(
      [&](grpc::ClientContext& context) { return gateway_->stub().Resolve(&context, request, &response); }));
  ASSIGN_OR_RETURN(record::Record record, record::Record::Verify(response.record_json(), absl::Now()));
  if (record.name() != asked) {
    return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kBadRecord,
                           absl::StrCat("asked for ", asked.text(), ", the gateway answered with the record of ",
                                        record.name().text(), "; do not trust it"));
  }
  records_.Found(record, absl::Seconds(response.remaining_ttl_s()), absl::Now());
  return ResolvedName{.record = std::move(record),
                      .source = response.source(),
                      .hops = response.hops(),
                      .agreeing_nodes = response.agreeing_nodes(),
                      .stale = response.stale(),
                      .paths_agreed = response.paths_agreed(),
                      .receipts = response.receipt_count(),
                      .messages = response.messages(),
                      .remaining_ttl = absl::Seconds(response.remaining_ttl_s()),
                      .owner = response.owner()};
}

absl::Status Agent::CheckKey(const record::Name& name, const crypto::PublicKey& key) {
  if (records_.Holds(name, key, absl::Now())) return absl::OkStatus();
  ASSIGN_OR_RETURN(const ResolvedName found, Resolve(name.text()));
  if (found.record.public_key() == key) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kKeyMismatch,
                         absl::StrCat("the record of ", name.text(), " holds another key"));
}

absl::StatusOr<FoundRotationChain> Agent::GetRotationChain(const identity::AgentId& agent) {
  v1::GetRotationRequest request;
  request.set_agent_id(std::string(agent.bytes()));
  v1::GetRotationResponse response;
  RETURN_IF_ERROR(gateway_->Run(
      [&](grpc::ClientContext& context) { return gateway_->stub().GetRotation(&context, request, &response); }));
  ASSIGN_OR_RETURN(const std::vector<std::string> statements, identity::DecodeRotationChain(response.rotation_chain()));
  ASSIGN_OR_RETURN(identity::RotationChain chain, identity::VerifyRotationChain(statements, absl::Now()));
  if (chain.agent != agent) {
    return ErrorWithReason(
        absl::StatusCode::kDataLoss, reason::kBadStatement,
        absl::StrCat("asked for the rotation chain of ", agent.ToString(), ", the gateway answered with that of ",
                     chain.agent.ToString(), "; do not trust it"));
  }
  return FoundRotationChain{std::move(chain), response.rotation_chain(), response.agreeing_nodes()};
}

absl::Status Agent::SetInboxPolicy(const InboxPolicy& policy) {
  RETURN_IF_ERROR(RequireName());
  v1::SetInboxPolicyRequest request;
  request.set_name(name_);
  switch (policy.mode) {
    case InboxMode::kOpen:
      request.mutable_policy()->set_mode(v1::INBOX_MODE_OPEN);
      break;
    case InboxMode::kContacts:
      request.mutable_policy()->set_mode(v1::INBOX_MODE_CONTACTS);
      break;
    case InboxMode::kCapability:
      request.mutable_policy()->set_mode(v1::INBOX_MODE_CAPABILITY);
      break;
  }
  for (const std::string& contact : policy.contacts) request.mutable_policy()->add_contacts(contact);
  for (const std::string& method : policy.guarded_methods) request.mutable_policy()->add_guarded_methods(method);
  v1::SetInboxPolicyResponse response;
  return gateway_->Run(
      [&](grpc::ClientContext& context) { return gateway_->stub().SetInboxPolicy(&context, request, &response); });
}

record::MessageFields Agent::FieldsOf(const OutgoingMessage& message, record::MessageType type) const {
  SystemRandom random;
  return {.id = record::NewMessageId(random),
          .type = type,
          .sender = name_,
          .recipient = message.recipient,
          .timestamp = absl::Now(),
          .content = message.attachment.empty() ? message.content
                                                : record::AttachmentContent(message.media_type, message.attachment)};
}

absl::StatusOr<record::SealedMessage> Agent::Seal(const OutgoingMessage& message) {
  ASSIGN_OR_RETURN(const record::Name recipient, record::Name::Parse(message.recipient));
  std::optional<record::Record> record = records_.Find(recipient, absl::Now());
  if (!record) {
    ASSIGN_OR_RETURN(ResolvedName found, Resolve(recipient.text()));
    record = std::move(found.record);
  }
  if (!absl::c_linear_search(record->protocols(), record::kSealedProtocol)) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, reason::kVersion,
        absl::StrCat("the record of ", recipient.text(), " does not list ", record::kSealedProtocol,
                     ": that agent opens no sealed messages, since its key stays in a token, or it is of an older "
                     "release; send it without a seal, or call it over a channel"));
  }
  SystemRandom random;
  return record::SignSealed(FieldsOf(message, message.type), message.attachment, record->public_key(), gateway_->key(),
                            random);
}

absl::StatusOr<SentMessage> Agent::Send(const OutgoingMessage& message) {
  RETURN_IF_ERROR(RequireName());
  const auto sign = [&]() -> absl::StatusOr<record::SealedMessage> {
    if (message.seal) return Seal(message);
    ASSIGN_OR_RETURN(record::Message plain, record::Message::Sign(FieldsOf(message, message.type), gateway_->key()));
    return record::SealedMessage{std::move(plain), message.attachment};
  };
  ASSIGN_OR_RETURN(record::SealedMessage outgoing, sign());
  v1::SendRequest request;
  request.set_message_json(outgoing.message.json());
  request.set_attachment(std::move(outgoing.attachment));
  request.set_token(message.token);
  request.set_priority(PriorityOf(message.priority));
  ASSIGN_OR_RETURN(const v1::SendResponse response, Deliver(request));
  return SentMessage{std::move(outgoing.message), response.duplicate()};
}

absl::StatusOr<PublishedMessage> Agent::Publish(absl::string_view topic, record::Json content, Priority priority) {
  RETURN_IF_ERROR(RequireName());
  ASSIGN_OR_RETURN(const record::Topic parsed, record::Topic::Parse(topic));
  ASSIGN_OR_RETURN(content, record::PublicationContent(parsed, std::move(content)));
  SystemRandom random;
  ASSIGN_OR_RETURN(record::Message signed_message, record::Message::Sign({.id = record::NewMessageId(random),
                                                                          .type = record::MessageType::kNotification,
                                                                          .sender = name_,
                                                                          .recipient = name_,
                                                                          .timestamp = absl::Now(),
                                                                          .content = std::move(content)},
                                                                         gateway_->key()));
  v1::PublishRequest request;
  request.set_message_json(signed_message.json());
  request.set_priority(PriorityOf(priority));
  v1::PublishResponse response;
  RETURN_IF_ERROR(gateway_->Run(
      [&](grpc::ClientContext& context) { return gateway_->stub().Publish(&context, request, &response); }));
  return PublishedMessage{.message = std::move(signed_message),
                          .duplicate = response.duplicate(),
                          .sequence = response.sequence(),
                          .subscribers = response.subscribers(),
                          .gateways = response.gateways()};
}

absl::StatusOr<std::unique_ptr<Subscription>> Agent::Subscribe(absl::string_view publisher, absl::string_view pattern,
                                                               const std::string& token,
                                                               const std::string& durable_name) {
  RETURN_IF_ERROR(RequireName());
  ASSIGN_OR_RETURN(const record::TopicPattern parsed, record::TopicPattern::Parse(pattern));
  SystemRandom random;
  ASSIGN_OR_RETURN(const record::Message request,
                   record::Message::Sign({.id = record::NewMessageId(random),
                                          .type = record::MessageType::kRequest,
                                          .sender = name_,
                                          .recipient = std::string(publisher),
                                          .timestamp = absl::Now(),
                                          .content = record::SubscriptionContent(parsed)},
                                         gateway_->key()));
  auto subscription = Subscription::Open(*this, gateway_, request, token, durable_name);
  if (ReasonOf(subscription.status()) != reason::kNotAuthenticated) return subscription;
  RETURN_IF_ERROR(gateway_->Authenticate());
  return Subscription::Open(*this, gateway_, request, token, durable_name);
}

absl::StatusOr<std::vector<DurableSubscription>> Agent::ListSubscriptions() {
  RETURN_IF_ERROR(gateway_->Require("durable-subscriptions"));
  v1::ListSubscriptionsResponse response;
  RETURN_IF_ERROR(gateway_->Run(
      [&](grpc::ClientContext& context) { return gateway_->stub().ListSubscriptions(&context, {}, &response); }));
  std::vector<DurableSubscription> subscriptions;
  for (const v1::DurableSubscription& listed : response.subscriptions()) {
    subscriptions.push_back({.subscriber = listed.name(),
                             .name = listed.durable_name(),
                             .publisher = listed.publisher(),
                             .pattern = listed.pattern(),
                             .waiting = listed.waiting(),
                             .waiting_bytes = listed.waiting_bytes(),
                             .not_kept = listed.not_kept(),
                             .open = listed.open(),
                             .last_used = absl::FromUnixMillis(listed.last_used_ms())});
  }
  return subscriptions;
}

absl::Status Agent::Unsubscribe(absl::string_view durable_name) {
  RETURN_IF_ERROR(RequireName());
  RETURN_IF_ERROR(gateway_->Require("durable-subscriptions"));
  v1::UnsubscribeRequest request;
  request.set_name(name_);
  request.set_durable_name(std::string(durable_name));
  v1::UnsubscribeResponse response;
  return gateway_->Run(
      [&](grpc::ClientContext& context) { return gateway_->stub().Unsubscribe(&context, request, &response); });
}

std::shared_ptr<AskCall> Agent::OpenAskCall(const std::shared_ptr<AskCall>& useless) {
  absl::MutexLock lock(&ask_call_mutex_);
  if (ask_call_ == nullptr || ask_call_ == useless || ask_call_->HasEnded()) {
    ask_call_ = std::make_shared<AskCall>(gateway_);
  }
  return ask_call_;
}

template <typename Act>
auto Agent::OverAskCall(const Act& act) -> decltype(act(std::declval<AskCall&>())) {
  const std::shared_ptr<AskCall> call = OpenAskCall();
  auto outcome = act(*call);
  if (ReasonOf(outcome.status()) != reason::kNotAuthenticated) return outcome;
  RETURN_IF_ERROR(gateway_->Authenticate());
  return act(*OpenAskCall(call));
}

absl::StatusOr<v1::RequestResponse> Agent::Exchange(const v1::RequestRequest& request, absl::Duration timeout) {
  if (!gateway_->Speaks("ask")) {
    v1::RequestResponse response;
    RETURN_IF_ERROR(gateway_->Run(
        [&](grpc::ClientContext& context) { return gateway_->stub().Request(&context, request, &response); }, timeout));
    return response;
  }
  return OverAskCall([&, deadline = absl::Now() + timeout](AskCall& call) { return call.Ask(request, deadline); });
}

absl::StatusOr<v1::SendResponse> Agent::Deliver(const v1::SendRequest& request) {
  if (!gateway_->Speaks("ask")) {
    v1::SendResponse response;
    RETURN_IF_ERROR(gateway_->Run(
        [&](grpc::ClientContext& context) { return gateway_->stub().Send(&context, request, &response); }));
    return response;
  }
  bool call_ended = false;
  const auto send = [&, deadline = absl::Now() + gateway_->options().timeout](AskCall& call) {
    absl::StatusOr<v1::SendResponse> sent = call.Send(request, deadline);
    call_ended = absl::IsUnavailable(sent.status()) && call.HasEnded();
    return sent;
  };
  absl::StatusOr<v1::SendResponse> sent = OverAskCall(send);
  // A second copy does no harm: the gateway knows it by its id.
  return call_ended ? OverAskCall(send) : sent;
}

absl::StatusOr<AnsweredRequest> Agent::Request(const OutgoingMessage& message, absl::Duration timeout) {
  RETURN_IF_ERROR(RequireName());
  if (message.seal) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage,
                           "a request is not sealed, since gateways judge it by its method; call the agent over a "
                           "channel");
  }
  ASSIGN_OR_RETURN(const record::Message asked,
                   record::Message::Sign(FieldsOf(message, record::MessageType::kRequest), gateway_->key()));
  v1::RequestRequest request;
  request.set_message_json(asked.json());
  request.set_attachment(message.attachment);
  request.set_token(message.token);
  request.set_priority(PriorityOf(message.priority));
  ASSIGN_OR_RETURN(v1::RequestResponse response, Exchange(request, timeout));
  ASSIGN_OR_RETURN(const record::Record recipient,
                   records_.Verify(asked.recipient(), response.recipient_record_json(), absl::Now()));
  ASSIGN_OR_RETURN(record::Message answer,
                   record::Message::Verify(response.message_json(), recipient.public_key(), absl::Now()));
  RETURN_IF_ERROR(answer.CheckAttachment(response.attachment()));
  RETURN_IF_ERROR(record::CheckAnswers(asked, answer));
  RETURN_IF_ERROR(record::StatusOfAnswer(answer));
  return AnsweredRequest{std::move(answer), std::move(*response.mutable_attachment())};
}

const crypto::SigningKey* Agent::OpeningKey(const crypto::PublicKey& key) const {
  const auto found = absl::c_find_if(opening_keys_, [&](const auto& known) { return known->public_key() == key; });
  return found == opening_keys_.end() ? nullptr : found->get();
}

absl::StatusOr<bool> Agent::HadKey(const crypto::PublicKey& key) {
  ASSIGN_OR_RETURN(const std::optional<identity::RotationChain> own, OwnChain());
  if (own) return own->KeyWasOf(key);
  ASSIGN_OR_RETURN(const ResolvedName self, Resolve(name_));
  const auto first = identity::AgentId::FromFirstKey(gateway_->key().public_key());
  if (self.owner.empty() || self.owner == first.bytes()) return false;
  ASSIGN_OR_RETURN(const identity::AgentId agent, identity::AgentId::FromBytes(self.owner));
  ASSIGN_OR_RETURN(const FoundRotationChain found, GetRotationChain(agent));
  return found.chain.KeyWasOf(gateway_->key().public_key()) && found.chain.KeyWasOf(key);
}

absl::StatusOr<record::OpenedContent> Agent::Open(const record::Message& message, absl::string_view attachment,
                                                  const crypto::PublicKey& sender) {
  RETURN_IF_ERROR(RequireName());
  ASSIGN_OR_RETURN(const crypto::PublicKey sealed_to, record::SealedTo(attachment));
  if (const crypto::SigningKey* key = OpeningKey(sealed_to)) {
    return record::OpenSealed(message, attachment, sender, *key);
  }
  if (sealed_to == gateway_->key().public_key()) {
    return ErrorWithReason(absl::StatusCode::kUnimplemented, reason::kKeyStore,
                           "sealed message: this agent's key stays in its token, which opens nothing; give the file "
                           "that it came from as a former key, if there is one, and register again, so that the record "
                           "does not promise it");
  }
  const std::string named = Base64Encode(sealed_to.bytes());
  const absl::StatusOr<bool> had = HadKey(sealed_to);
  if (!had.ok()) {
    // Whatever it was: nothing is known against the message.
    return ErrorWithReason(
        absl::StatusCode::kUnavailable, ReasonOf(had.status()),
        absl::StrCat("sealed message: it is sealed to the key ", named,
                     "; whether this agent had it once could not be found out: ", had.status().message()));
  }
  if (*had) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kKeyMismatch,
                           absl::StrCat("sealed message: it is sealed to the key ", named,
                                        ", which this agent had before it rotated; give that key too, to open it"));
  }
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kKeyMismatch,
      absl::StrCat("sealed message: it is sealed to the key ", named, ", which was never this agent's"));
}

absl::StatusOr<std::unique_ptr<Inbox>> Agent::OpenInbox(const InboxOptions& options) {
  RETURN_IF_ERROR(RequireName());
  auto inbox = Inbox::Open(*this, gateway_, name_, options);
  if (ReasonOf(inbox.status()) != reason::kNotAuthenticated) return inbox;
  RETURN_IF_ERROR(gateway_->Authenticate());
  return Inbox::Open(*this, gateway_, name_, options);
}

absl::StatusOr<DeadLetters> Agent::ListDeadLetters(uint64_t after_sequence) {
  RETURN_IF_ERROR(RequireName());
  v1::ListDeadLettersRequest request;
  request.set_name(name_);
  request.set_after_sequence(after_sequence);
  v1::ListDeadLettersResponse response;
  RETURN_IF_ERROR(gateway_->Run(
      [&](grpc::ClientContext& context) { return gateway_->stub().ListDeadLetters(&context, request, &response); }));
  DeadLetters page{.letters = {}, .more = response.more(), .total = response.total()};
  for (const v1::DeadLetter& letter : response.letters()) {
    DeadLetter out{.sequence = letter.message().sequence(),
                   .expired = letter.reason() == v1::DEAD_LETTER_REASON_EXPIRED,
                   .deliveries = letter.message().deliveries(),
                   .died = absl::FromUnixMillis(letter.died_at_ms()),
                   .expires = absl::FromUnixMillis(letter.expires_at_ms()),
                   .message = absl::UnknownError("not verified"),
                   .attachment = letter.message().attachment()};
    out.message = [&]() -> absl::StatusOr<record::Message> {
      ASSIGN_OR_RETURN(const auto key, crypto::PublicKey::FromBytes(letter.message().sender_key()));
      ASSIGN_OR_RETURN(record::Message message,
                       record::Message::Verify(letter.message().message_json(), key, absl::Now()));
      RETURN_IF_ERROR(message.CheckAttachment(letter.message().attachment()));
      if (!record::IsSealed(message)) return message;
      absl::StatusOr<record::OpenedContent> opened = Open(message, letter.message().attachment(), key);
      out.unopened = opened.status();
      if (opened.ok()) {
        out.opened = std::move(opened->content);
        out.attachment = std::move(opened->attachment);
      }
      return message;
    }();
    page.letters.push_back(std::move(out));
  }
  return page;
}

absl::StatusOr<std::unique_ptr<Channel>> Agent::OpenChannel(absl::string_view recipient,
                                                            const ChannelCallOptions& options) {
  RETURN_IF_ERROR(RequireName());
  ASSIGN_OR_RETURN(const ResolvedName resolved, Resolve(recipient));
  return Channel::Call(gateway_, name_, resolved.record.name().text(), resolved.record.public_key(), options);
}

absl::StatusOr<std::unique_ptr<MessageStream>> Agent::OpenStream(absl::string_view recipient,
                                                                 const ChannelCallOptions& options) {
  RETURN_IF_ERROR(RequireName());
  ASSIGN_OR_RETURN(const record::Name own, record::Name::Parse(name_));
  ASSIGN_OR_RETURN(const ResolvedName resolved, Resolve(recipient));
  const std::string& peer = resolved.record.name().text();
  ASSIGN_OR_RETURN(auto channel,
                   Channel::Call(gateway_, name_, peer, resolved.record.public_key(), options, kMessagesProtocol));
  return std::make_unique<MessageStream>(std::move(channel), gateway_, own.text(), peer);
}

absl::Status Agent::CheckToken(const ChannelOffer& offer, const crypto::PublicKey& caller) const {
  RETURN_IF_ERROR(RequireName());
  ASSIGN_OR_RETURN(const record::Name own, record::Name::Parse(name_));
  ASSIGN_OR_RETURN(const capability::Resource resource, capability::Resource::Of(own, offer.method));
  if (offer.token.empty()) {
    return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kTokenRequired,
                           absl::StrCat("the caller shows no capability token for ", resource.text()));
  }
  ASSIGN_OR_RETURN(const capability::Token token, capability::VerifyToken(offer.token));
  const crypto::PublicKey owner = gateway_->key().public_key();
  return token.Allows({.owners = {&owner, 1}, .presenter = caller, .resource = resource, .action = "channel"},
                      absl::Now());
}

absl::StatusOr<record::Record> Agent::CheckCaller(const ChannelOffer& offer, bool require_token) {
  // Before the answer: an offer from a name that another key holds is not worth a handshake.
  ASSIGN_OR_RETURN(ResolvedName caller, Resolve(offer.caller));
  if (require_token) {
    RETURN_IF_ERROR(WithContext(CheckToken(offer, caller.record.public_key()), "capability token"));
  }
  return std::move(caller.record);
}

absl::StatusOr<std::unique_ptr<Channel>> Agent::AcceptChannel(const ChannelOffer& offer, bool require_token) {
  ASSIGN_OR_RETURN(const record::Record caller, CheckCaller(offer, require_token));
  return Channel::Accept(gateway_, offer, caller.public_key());
}

absl::StatusOr<std::unique_ptr<MessageStream>> Agent::AcceptStream(const ChannelOffer& offer, bool require_token) {
  RETURN_IF_ERROR(RequireName());
  ASSIGN_OR_RETURN(const record::Name own, record::Name::Parse(name_));
  ASSIGN_OR_RETURN(const record::Record caller, CheckCaller(offer, require_token));
  ASSIGN_OR_RETURN(auto channel, Channel::Accept(gateway_, offer, caller.public_key(), kMessagesProtocol));
  return std::make_unique<MessageStream>(std::move(channel), gateway_, own.text(), caller.name().text());
}

}  // namespace dotagent::sdk
