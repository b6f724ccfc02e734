#include "services/gateway/gateway.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/config.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/identity/rotation.h"
#include "common/record/name_proof.h"
#include "common/telemetry/log.h"
#include "services/gateway/holder_check.h"
#include "services/gateway/homes.h"
#include "services/gateway/negotiate.h"
#include "services/gateway/priority.h"

namespace dotagent::gateway_service {
namespace {

constexpr absl::Duration kExpiryInterval = absl::Minutes(1);

}  // namespace

Gateway::Gateway(const Parts& parts)
    : parts_(parts),
      admission_(parts.admission, parts.clock, parts.random, parts.metrics),
      lone_home_(parts.key.public_key()),
      homes_(parts.cluster == nullptr ? static_cast<const Homes&>(lone_home_) : *parts.cluster),
      authenticator_({.key = parts.key,
                      .channel_binding = parts.channel_binding,
                      .is_revoked = parts.is_revoked,
                      .clock = parts.clock,
                      .random = parts.random,
                      .metrics = parts.metrics,
                      .tokens = parts.tokens}),
      listeners_(parts.inboxes, parts.directory, parts.clock, parts.metrics),
      requests_(
          listeners_,
          [this](const crypto::PublicKey& agent, const absl::Status& why) {
            // Being late is no misconduct.
            if (ReasonOf(why) != reason::kStale) admission_.NoteChecked(agent, why);
            return admission_.AdmitAgent(agent, call_cost::kOne);
          },
          parts.clock, parts.metrics),
      post_office_({.homes = homes_,
                    .inboxes = parts.inboxes,
                    .listeners = listeners_,
                    .directory = parts.directory,
                    .trunk = parts.trunk,
                    .tap = parts.tap,
                    .guard = parts.guard,
                    .requests = requests_,
                    .admission = admission_,
                    .is_revoked = parts.is_revoked,
                    .clock = parts.clock,
                    .metrics = parts.metrics,
                    .left_behind = [cluster = parts.cluster] { cluster->OnLeftBehind(); }}),
      asks_({.request = [this](auto token, const auto& request, auto deadline,
                               auto done) { Request(token, request, deadline, std::move(done)); },
             .send = [this](auto token, const auto& request, auto done) { Send(token, request, std::move(done)); }},
            parts.clock, parts.metrics),
      channels_({.homes = homes_,
                 .listeners = listeners_,
                 .directory = parts.directory,
                 .trunk = parts.trunk,
                 .tap = parts.tap,
                 .guard = parts.guard,
                 .is_revoked = parts.is_revoked,
                 .clock = parts.clock,
                 .random = parts.random,
                 .metrics = parts.metrics,
                 .max_per_agent = parts.max_channels_per_agent}),
      topics_({.self = parts.key.public_key(),
               .directory = parts.directory,
               .trunk = parts.trunk,
               .guard = parts.guard,
               .is_revoked = parts.is_revoked,
               .clock = parts.clock,
               .random = parts.random,
               .post = parts.post,
               .metrics = parts.metrics,
               .admission = admission_,
               .limits = parts.topics,
               .durable = parts.durable}) {
  if (parts.cluster != nullptr) JoinCluster();
}

void Gateway::JoinCluster() {
  cluster_calls_ = std::make_unique<ClusterCalls>(ClusterCalls::Parts{
      .homes = homes_,
      .link = *parts_.cluster_link,
      .listeners = listeners_,
      .channels = channels_,
      .address_of = [this](const crypto::PublicKey& member) { return parts_.cluster->AddressOf(member); },
      .clock = parts_.clock,
      .metrics = parts_.metrics});
  parts_.cluster->Serve(
      {.deliver = [this](const auto& request,
                         auto done) { post_office_.Receive(PostOffice::kFellow, request, std::move(done)); },
       .request = [this](const auto& call,
                         auto done) { post_office_.ReceiveRequest(PostOffice::kFellow, call, std::move(done)); },
       .relay = [this](const auto& open, auto pipe) { cluster_calls_->Receive(open, std::move(pipe)); },
       .registered =
           [this](const std::string& chain, const record::Name& name, const crypto::PublicKey& key) {
             post_office_.OnRegistered(name);
             MoveFromRetiredKeys(chain, name, key);
           },
       .came = [this](const InboxId& inbox) { listeners_.Notify(inbox); },
       .leaving = [this](const InboxId& inbox) { listeners_.EndInbox(inbox, InboxMoved()); },
       .members_changed =
           [this] {
             listeners_.EndWhere(
                 [this](const InboxId& inbox) {
                   const auto home = homes_.HomeOf(inbox.name);
                   return home.ok() && *home != nullptr;
                 },
                 InboxMoved());
             cluster_calls_->OnMembersChanged();
           }});
}

gateway::v1::GetInfoResponse Gateway::GetInfo() const {
  gateway::v1::GetInfoResponse response;
  response.set_peer_id(crypto::PeerIdFromKey(parts_.key.public_key()));
  const std::vector<std::string> addresses =
      parts_.cluster == nullptr ? parts_.addresses() : parts_.cluster->RecordAddresses();
  for (const std::string& address : addresses) response.add_addresses(address);
  response.set_version(Version());
  response.set_now_ms(absl::ToUnixMillis(parts_.clock.Now()));
  return response;
}

absl::StatusOr<gateway::v1::GetStandingResponse> Gateway::GetStanding(absl::string_view token) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Agent> agent, authenticator_.Caller(token));
  const abuse::Record record = admission_.StandingOf(agent->key);
  gateway::v1::GetStandingResponse response;
  response.set_standing(record.standing == abuse::Standing::kQuarantined ? gateway::v1::STANDING_QUARANTINED
                        : record.standing == abuse::Standing::kThrottled ? gateway::v1::STANDING_THROTTLED
                                                                         : gateway::v1::STANDING_GOOD);
  response.set_score(record.score);
  response.set_throttle_score(admission_.limits().agents.throttle_score);
  response.set_quarantine_score(admission_.limits().agents.quarantine_score);
  response.set_quarantine_left_ms(absl::ToInt64Milliseconds(record.quarantine_left));
  response.set_quarantines(static_cast<uint32_t>(record.quarantines));
  return response;
}

absl::StatusOr<std::shared_ptr<Agent>> Gateway::Admit(absl::string_view token, double cost) {
  ASSIGN_OR_RETURN(std::shared_ptr<Agent> agent, authenticator_.Caller(token));
  RETURN_IF_ERROR(admission_.AdmitAgent(agent->key, cost));
  return agent;
}

template <typename Envelope>
absl::StatusOr<std::shared_ptr<Agent>> Gateway::AdmitMessage(absl::string_view token, const Envelope& request,
                                                             size_t bytes, absl::string_view what) {
  const abuse::Priority priority = PriorityOf(request.priority());
  ASSIGN_OR_RETURN(std::shared_ptr<Agent> agent, Admit(token, call_cost::OfMessage(bytes, priority)));
  admission_.SawBacklog(parts_.inboxes.backlog());
  RETURN_IF_ERROR(admission_.CheckLoad(priority, what));
  return agent;
}

absl::StatusOr<gateway::v1::NegotiateResponse> Gateway::Negotiate(const gateway::v1::NegotiateRequest& request) const {
  return gateway_service::Negotiate(request, {.inbox_messages = parts_.inboxes.max_messages(),
                                              .channels = parts_.max_channels_per_agent,
                                              .subscriptions = parts_.topics.max_per_agent});
}

absl::StatusOr<record::Record> Gateway::CheckRegistration(const std::string& json, const Agent& agent) const {
  ASSIGN_OR_RETURN(record::Record record, record::Record::Verify(json, parts_.clock.Now()));
  if (record.public_key() != agent.key) {
    return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyMismatch,
                           "the record's publicKey is not the key that you authenticated with");
  }
  if (!LivesAt(record, parts_.key.public_key())) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadRecord,
                           absl::StrCat("the record's addresses do not include this gateway (",
                                        crypto::PeerIdFromKey(parts_.key.public_key()),
                                        "); put the addresses that GetInfo returns into it"));
  }
  return record;
}

void Gateway::Register(absl::string_view token, const gateway::v1::RegisterRequest& request,
                       Done<gateway::v1::RegisterResponse> done) {
  const auto agent = Admit(token, call_cost::kRegister);
  if (!agent.ok()) return done(agent.status());
  const auto record = CheckRegistration(request.record_json(), **agent);
  if (!record.ok()) return done(record.status());
  const record::NameProof proof{.rotation_chain = request.rotation_chain(),
                                .name_certificate = request.name_certificate()};
  parts_.directory.Publish(record->json(), proof,
                           [this, agent = *agent, name = record->name(), chain = request.rotation_chain(),
                            done = std::move(done)](const absl::StatusOr<host::Publication>& published) {
                             if (!published.ok()) return done(published.status());
                             NoteHolder(*agent, name, parts_.clock.Now());
                             post_office_.OnRegistered(name);
                             MoveFromRetiredKeys(chain, name, agent->key);
                             if (parts_.cluster != nullptr) {
                               parts_.cluster->ShareRegistration(chain, name, agent->key);
                             }
                             telemetry::Log(
                                 telemetry::Level::kInfo, "name registered",
                                 {{"name", name.text()}, {"stored_by", absl::StrCat(published->stored_by.size())}});
                             gateway::v1::RegisterResponse response;
                             for (const std::string& peer : published->stored_by) response.add_stored_by(peer);
                             response.set_asked(published->asked);
                             done(std::move(response));
                           });
}

void Gateway::Resolve(absl::string_view token, const gateway::v1::ResolveRequest& request,
                      Done<gateway::v1::ResolveResponse> done) {
  if (const auto agent = Admit(token, call_cost::kOne); !agent.ok()) return done(agent.status());
  const auto name = record::Name::Parse(request.name());
  if (!name.ok()) return done(name.status());
  parts_.directory.Resolve(*name, request.bypass_cache(),
                           [done = std::move(done)](absl::StatusOr<host::Resolution> found) {
                             if (!found.ok()) return done(found.status());
                             gateway::v1::ResolveResponse response;
                             response.set_record_json(found->record.json());
                             response.set_source(found->source);
                             response.set_hops(found->hops);
                             response.set_agreeing_nodes(found->agreeing_nodes);
                             response.set_stale(found->stale);
                             response.set_paths_agreed(found->paths_agreed);
                             response.set_receipt_count(found->receipts);
                             response.set_owner(found->owner);
                             response.set_messages(found->messages);
                             response.set_remaining_ttl_s(found->remaining_ttl_s);
                             done(std::move(response));
                           });
}

void Gateway::GetRotation(absl::string_view token, const gateway::v1::GetRotationRequest& request,
                          Done<gateway::v1::GetRotationResponse> done) {
  if (const auto agent = Admit(token, call_cost::kOne); !agent.ok()) return done(agent.status());
  const auto id = identity::AgentId::FromBytes(request.agent_id());
  if (!id.ok()) return done(id.status());
  parts_.directory.GetRotation(*id, [done = std::move(done)](const absl::StatusOr<host::FoundRotation>& found) {
    if (!found.ok()) return done(found.status());
    gateway::v1::GetRotationResponse response;
    response.set_rotation_chain(found->bytes);
    response.set_agreeing_nodes(found->agreeing_nodes);
    done(std::move(response));
  });
}

void Gateway::Send(absl::string_view token, const gateway::v1::SendRequest& request,
                   Done<gateway::v1::SendResponse> done) {
  const auto agent =
      AdmitMessage(token, request, request.message_json().size() + request.attachment().size(), "messages");
  if (!agent.ok()) return done(agent.status());
  post_office_.Send(*agent, request, [done = std::move(done)](const absl::StatusOr<bool>& duplicate) {
    if (!duplicate.ok()) return done(duplicate.status());
    gateway::v1::SendResponse response;
    response.set_duplicate(*duplicate);
    done(std::move(response));
  });
}

void Gateway::Request(absl::string_view token, const gateway::v1::RequestRequest& request, absl::Time deadline,
                      Done<gateway::v1::RequestResponse> done) {
  const auto agent =
      AdmitMessage(token, request, request.message_json().size() + request.attachment().size(), "requests");
  if (!agent.ok()) return done(agent.status());
  const absl::Time now = parts_.clock.Now();
  if (deadline == absl::InfiniteFuture()) deadline = now + kDefaultRequestTimeout;
  post_office_.Request(*agent, request, std::min(deadline, now + kMaxRequestTimeout),
                       [done = std::move(done)](absl::StatusOr<PostOffice::Answered> answered) {
                         if (!answered.ok()) return done(answered.status());
                         gateway::v1::RequestResponse response;
                         response.set_message_json(std::move(answered->answer.message_json));
                         response.set_attachment(std::move(answered->answer.attachment));
                         response.set_recipient_record_json(answered->recipient->json());
                         done(std::move(response));
                       });
}

void Gateway::Ask(absl::string_view token, std::shared_ptr<AskStream> stream) {
  const auto agent = Admit(token, call_cost::kStream);
  if (!agent.ok()) return stream->Finish(agent.status());
  asks_.Serve(*agent, std::string(token), std::move(stream));
}

void Gateway::SetInboxPolicy(absl::string_view token, const gateway::v1::SetInboxPolicyRequest& request,
                             Done<gateway::v1::SetInboxPolicyResponse> done) {
  const auto agent = Admit(token, call_cost::kDisk);
  if (!agent.ok()) return done(agent.status());
  const auto name = record::Name::Parse(request.name());
  if (!name.ok()) return done(name.status());
  CheckHolder(parts_.directory, parts_.clock, *agent, *name,
              [this, name = *name, policy = request.policy(), done = std::move(done)](const absl::Status& holds) {
                if (!holds.ok()) return done(holds);
                const absl::Status set = parts_.guard.SetPolicy(name, policy);
                if (!set.ok()) return done(set);
                telemetry::Log(telemetry::Level::kInfo, "inbox policy set",
                               {{"name", name.text()}, {"mode", gateway::v1::InboxMode_Name(policy.mode())}});
                if (parts_.cluster == nullptr) return done(gateway::v1::SetInboxPolicyResponse());
                parts_.cluster->SharePolicy(name, [done](const absl::Status& shared) {
                  shared.ok() ? done(gateway::v1::SetInboxPolicyResponse()) : done(shared);
                });
              });
}

void Gateway::ListDeadLetters(absl::string_view token, const gateway::v1::ListDeadLettersRequest& request,
                              Done<gateway::v1::ListDeadLettersResponse> done) {
  const auto agent = Admit(token, call_cost::kDisk);
  if (!agent.ok()) return done(agent.status());
  const auto name = record::Name::Parse(request.name());
  if (!name.ok()) return done(name.status());
  CheckHolder(parts_.directory, parts_.clock, *agent, *name,
              [this, inbox = InboxId{*name, (*agent)->key}, after = request.after_sequence(),
               done = std::move(done)](const absl::Status& holds) {
                if (!holds.ok()) return done(holds);
                const auto home = homes_.HomeOf(inbox.name);
                if (!home.ok()) return done(home.status());
                if (!*home) return done(parts_.inboxes.DeadLetters(inbox, after));
                parts_.cluster->ListDeadLetters((*home)->address(), inbox, after, done);
              });
}

void Gateway::Inbox(absl::string_view token, std::shared_ptr<InboxStream> stream) {
  const auto agent = Admit(token, call_cost::kStream);
  if (!agent.ok()) return stream->Finish(agent.status());
  cluster_calls_ ? cluster_calls_->ServeInbox(*agent, stream) : listeners_.Serve(*agent, std::move(stream));
}

void Gateway::OpenChannel(absl::string_view token, std::shared_ptr<ChannelStream> stream) {
  const auto agent = Admit(token, call_cost::kStream);
  if (!agent.ok()) return stream->Finish(agent.status());
  cluster_calls_ ? cluster_calls_->ServeChannel(*agent, stream) : channels_.Serve(*agent, std::move(stream));
}

void Gateway::Publish(absl::string_view token, const gateway::v1::PublishRequest& request,
                      Done<gateway::v1::PublishResponse> done) {
  const auto agent = AdmitMessage(token, request, request.message_json().size(), "publications");
  if (!agent.ok()) return done(agent.status());
  topics_.Publish(
      *agent, request,
      [this, agent = *agent, done = std::move(done)](absl::StatusOr<gateway::v1::PublishResponse> response) {
        if (response.ok() && response->duplicate()) admission_.NoteResend(agent->key);
        done(std::move(response));
      });
}

void Gateway::Subscribe(absl::string_view token, const gateway::v1::SubscribeRequest& request,
                        std::shared_ptr<EventStream> stream) {
  const auto agent = Admit(token, call_cost::kStream);
  if (!agent.ok()) return stream->Finish(agent.status());
  topics_.Subscribe(*agent, request, std::move(stream));
}

void Gateway::AckPublications(absl::string_view token, const gateway::v1::AckPublicationsRequest& request,
                              Done<gateway::v1::AckPublicationsResponse> done) {
  const auto agent = Admit(token, call_cost::kOne);
  if (!agent.ok()) return done(agent.status());
  topics_.AckPublications(**agent, request, [done = std::move(done)](const absl::Status& acknowledged) {
    acknowledged.ok() ? done(gateway::v1::AckPublicationsResponse()) : done(acknowledged);
  });
}

void Gateway::ListSubscriptions(absl::string_view token, Done<gateway::v1::ListSubscriptionsResponse> done) {
  const auto agent = Admit(token, call_cost::kDisk);
  agent.ok() ? done(topics_.ListSubscriptions(**agent)) : done(agent.status());
}

void Gateway::Unsubscribe(absl::string_view token, const gateway::v1::UnsubscribeRequest& request,
                          Done<gateway::v1::UnsubscribeResponse> done) {
  const auto agent = Admit(token, call_cost::kDisk);
  if (!agent.ok()) return done(agent.status());
  topics_.Unsubscribe(**agent, request, [done = std::move(done)](const absl::Status& ended) {
    ended.ok() ? done(gateway::v1::UnsubscribeResponse()) : done(ended);
  });
}

absl::Status Gateway::AdmitTrunk(const crypto::PublicKey& gateway, const trunk::v1::DeliverRequest& request) {
  const abuse::Priority priority = PriorityOf(request.priority());
  const size_t bytes = request.message_json().size() + request.attachment().size();
  RETURN_IF_ERROR(admission_.AdmitSender(gateway, request.sender_key(), call_cost::OfMessage(bytes, priority)));
  admission_.SawBacklog(parts_.inboxes.backlog());
  return admission_.CheckLoad(priority, "messages");
}

TrunkHandlers Gateway::trunk_handlers() {
  return {.deliver =
              [this](const crypto::PublicKey& gateway, const auto& request, auto done) {
                if (const absl::Status can = AdmitTrunk(gateway, request); !can.ok()) return done(can);
                post_office_.Receive(gateway, request,
                                     [this, gateway, sender = request.sender_key(),
                                      done = std::move(done)](const absl::StatusOr<bool>& duplicate) {
                                       if (duplicate.ok() && *duplicate) admission_.NoteResendOf(gateway, sender);
                                       done(duplicate);
                                     });
              },
          .request =
              [this](const crypto::PublicKey& gateway, const auto& call, auto done) {
                if (const absl::Status can = AdmitTrunk(gateway, call.request()); !can.ok()) return done(can);
                post_office_.ReceiveRequest(gateway, call, std::move(done));
              },
          .channel =
              [this](IncomingTrunk incoming) {
                const absl::Status can =
                    admission_.AdmitSender(incoming.from, incoming.request.caller_key(), call_cost::kStream);
                can.ok() ? channels_.Receive(std::move(incoming)) : incoming.refuse(can);
              },
          .topics =
              [this](const crypto::PublicKey& gateway, std::shared_ptr<Pipe> pipe) {
                const absl::Status can = admission_.AdmitGateway(gateway, call_cost::kStream);
                can.ok() ? topics_.Receive(gateway, std::move(pipe)) : pipe->Abort(can);
              }};
}

void Gateway::MoveFromRetiredKeys(const std::string& rotation_chain, const record::Name& name,
                                  const crypto::PublicKey& key) {
  if (rotation_chain.empty()) return;
  const auto statements = identity::DecodeRotationChain(rotation_chain);
  if (!statements.ok()) return;  // the DHT has taken it, so it is in order
  const auto chain = identity::VerifyRotationChain(*statements, parts_.clock.Now());
  if (!chain.ok() || chain->current() != key) return;
  for (const identity::RotationEvent& event : chain->events) {
    if (event.key == key) continue;
    const absl::StatusOr<size_t> moved = parts_.inboxes.TakeOver({name, event.key}, {name, key}, parts_.clock.Now());
    if (!moved.ok()) {
      telemetry::Log(telemetry::Level::kError, "cannot move an inbox to its owner's new key",
                     {{"name", name.text()}, {"why", moved.status().ToString()}});
    }
    authenticator_.Revoke(event.key);
    const absl::Status rotated =
        ErrorWithReason(absl::StatusCode::kAborted, reason::kSuperseded,
                        "the key was rotated; go on with the new one, which has the inbox now");
    asks_.End(event.key, rotated);
    listeners_.End(event.key, rotated);
    if (cluster_calls_) cluster_calls_->EndInboxes(event.key, rotated);
    topics_.End(event.key, rotated);
    if (parts_.durable != nullptr) {
      const absl::Status followed = parts_.durable->TakeOver(name, event.key, key);
      if (!followed.ok()) {
        telemetry::Log(telemetry::Level::kError, "cannot move durable subscriptions to their owner's new key",
                       {{"name", name.text()}, {"why", followed.ToString()}});
      }
    }
  }
  listeners_.Notify({name, key});
}

void Gateway::OnRevoked(const crypto::PublicKey& key) {
  const size_t tokens = authenticator_.Revoke(key);
  asks_.End(key, KeyRevoked());
  listeners_.End(key, KeyRevoked());
  if (cluster_calls_) cluster_calls_->End(key, KeyRevoked());
  topics_.End(key, KeyRevoked());
  parts_.guard.OnKeyRevoked(key);
  channels_.End(key, ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                                     "the key at one end of this channel has been revoked"));
  // Also what a token allowed in which the key is another.
  channels_.EndRevoked();
  topics_.EndRevoked();
  telemetry::Log(telemetry::Level::kInfo, "key revoked",
                 {{"key", crypto::PeerIdFromKey(key)}, {"tokens", absl::StrCat(tokens)}});
}

void Gateway::OnTokenRevoked(const capability::TokenRevocation& revocation) {
  parts_.guard.OnTokenRevoked(revocation);
  channels_.EndRevoked();
  topics_.EndRevoked();
}

void Gateway::Drain() {
  const absl::Status why = ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                                           "this gateway is shutting down; connect again, or to another one");
  asks_.Drain(why);
  listeners_.Drain(why);
  if (cluster_calls_) cluster_calls_->Drain(why);
  topics_.Drain(why);
}

void Gateway::Tick() {
  const absl::Time now = parts_.clock.Now();
  channels_.Expire(now);
  listeners_.Expire(now);
  requests_.Expire(now);
  if (cluster_calls_) cluster_calls_->Expire(now);
  post_office_.ShowInboxes();
  topics_.Tick();
  admission_.Tick();
  if (now < next_expiry_) return;
  next_expiry_ = now + kExpiryInterval;
  authenticator_.DropExpired(now);
  const absl::StatusOr<bool> more = parts_.inboxes.Expire(now);
  if (!more.ok()) {
    telemetry::Log(telemetry::Level::kError, "expired messages stay on disk", {{"why", more.status().ToString()}});
  } else if (*more) {
    next_expiry_ = now;
  }
}

}  // namespace dotagent::gateway_service
