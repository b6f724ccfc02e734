#include "services/gateway/channels.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/telemetry/log.h"
#include "services/gateway/holder_check.h"

namespace dotagent::gateway_service {

using gateway::v1::OpenChannelRequest;
using gateway::v1::OpenChannelResponse;

namespace {

constexpr size_t kChannelIdSize = 16;
constexpr char kBytes[] = "dotagent_gateway_channel_bytes_total";
constexpr char kBytesHelp[] = "Bytes of channels, by direction as seen from the agents served here.";

absl::Status HungUp() {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                         "the other agent's call broke off; open the channel again");
}

absl::Status Limit(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit, message);
}

}  // namespace

struct Channels::Leg {
  crypto::PublicKey agent;                 // whose call it is; for another gateway's stream, the caller there
  std::optional<crypto::PublicKey> other;  // the key at the channel's other end, once known
  Places::Place place;                     // of the agent's, if it is one here
  std::shared_ptr<ChannelStream> stream;   // an agent's here; nullptr for another gateway's
  std::string offer;                       // the channel id that it waits for, if it does
  std::string method;                      // of a call: what for
  std::string token;                       // of a call: what the caller shows
  std::shared_ptr<const capability::Token> allowed_by;  // of a call that needed a token
  absl::Time deadline;                                  // of its setup; infinite once it carries bytes
  std::function<void(const absl::Status&)> end;         // ends whatever it is doing
  bool over = false;
};

Channels::Channels(const Parts& parts)
    : parts_(parts),
      legs_of_agent_(parts.max_per_agent),
      open_(parts.metrics.AddGauge("dotagent_gateway_channels", "Ends of channels that are open or being opened.")),
      opened_(
          parts.metrics.AddCounter("dotagent_gateway_channels_opened_total", "Channels that began to carry bytes.")),
      refused_(parts.metrics.AddCounter("dotagent_gateway_channels_refused_total", "Channels that were refused.")),
      bytes_from_agents_(parts.metrics.AddCounter(kBytes, kBytesHelp, {{"direction", "from_agent"}})),
      bytes_to_agents_(parts.metrics.AddCounter(kBytes, kBytesHelp, {{"direction", "to_agent"}})) {}

Channels::~Channels() {
  // A leg's way to end leads through its splice back to the leg.
  for (const auto& [_, leg] : legs_) leg->end = nullptr;
}

Channels::LegPtr Channels::NewLeg(const crypto::PublicKey& agent, Places::Place place) {
  auto leg = std::make_shared<Leg>();
  leg->agent = agent;
  leg->place = std::move(place);
  leg->deadline = parts_.clock.Now() + kSetupTime;
  legs_.emplace(leg.get(), leg);
  open_.Set(static_cast<double>(legs_.size()));
  return leg;
}

void Channels::Forget(const LegPtr& leg) {
  if (std::exchange(leg->over, true)) return;
  if (!leg->offer.empty()) offers_.erase(leg->offer);
  leg->place = nullptr;
  legs_.erase(leg.get());
  open_.Set(static_cast<double>(legs_.size()));
}

void Channels::EndLeg(const LegPtr& leg, const absl::Status& why) {
  if (leg->over) return;
  const auto end = std::exchange(leg->end, nullptr);
  Forget(leg);
  end(why);
}

void Channels::Serve(std::shared_ptr<Agent> agent, std::shared_ptr<ChannelStream> stream) {
  Places::Place place = legs_of_agent_.Take(agent->key.bytes());
  if (place == nullptr) {
    refused_.Increment();
    return stream->Finish(Limit(absl::StrCat("you have ", parts_.max_per_agent, " channels open; close one first")));
  }
  const LegPtr leg = NewLeg(agent->key, std::move(place));
  leg->stream = std::move(stream);
  leg->end = [this, stream = leg->stream](const absl::Status& why) {
    refused_.Increment();
    stream->Finish(why);
  };
  leg->stream->OnCancelled([this, weak = std::weak_ptr<Leg>(leg)] {
    if (const auto gone = weak.lock()) EndLeg(gone, HungUp());
  });
  leg->stream->Read([this, leg, agent = std::move(agent)](std::optional<OpenChannelRequest> request) {
    if (leg->over) return;
    if (!request || request->has_data() || request->action_case() == OpenChannelRequest::ACTION_NOT_SET) {
      return EndLeg(leg, ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                                         "the first request of a channel must be `call` or `accept`"));
    }
    if (request->has_accept()) return Accept(leg, request->accept());
    Call(leg, agent, request->call());
  });
}

void Channels::Call(const LegPtr& leg, const std::shared_ptr<Agent>& agent, const gateway::v1::ChannelCall& call) {
  const auto caller = record::Name::Parse(call.caller());
  if (!caller.ok()) return EndLeg(leg, WithContext(caller.status(), "caller"));
  const auto recipient = record::Name::Parse(call.recipient());
  if (!recipient.ok()) return EndLeg(leg, WithContext(recipient.status(), "recipient"));
  const absl::Status form = InboxGuard::CheckForm(*recipient, call.method(), call.token());
  if (!form.ok()) return EndLeg(leg, form);
  leg->method = call.method();
  leg->token = call.token();
  CheckHolder(parts_.directory, parts_.clock, agent, *caller,
              [this, leg, caller = *caller, recipient = *recipient](const absl::Status& holds) {
                if (leg->over) return;
                if (!holds.ok()) return EndLeg(leg, WithContext(holds, "caller"));
                parts_.directory.Resolve(
                    recipient, false, [this, leg, caller, recipient](absl::StatusOr<host::Resolution> found) {
                      if (leg->over) return;
                      const auto record = CheckRecipient(std::move(found));
                      if (!record.ok()) return EndLeg(leg, record.status());
                      leg->other = record->public_key();
                      if (!parts_.homes.LivesHere(*record)) return CallThere(leg, caller, *record, GatewaysOf(*record));
                      const auto home = parts_.homes.HomeOf(recipient);
                      if (!home.ok()) return EndLeg(leg, home.status());
                      if (!*home) return CallHere(leg, caller, *record);
                      CallThere(leg, caller, *record, std::vector<p2p::PeerAddress>{(*home)->address()});
                    });
              });
}

absl::StatusOr<record::Record> Channels::CheckRecipient(absl::StatusOr<host::Resolution> found) const {
  if (absl::IsNotFound(found.status())) return WithContext(found.status(), "unknown recipient");
  if (!found.ok()) return WithContext(found.status(), "recipient");
  if (parts_.is_revoked(found->record.public_key())) {
    return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                           absl::StrCat("the key of ", found->record.name().text(), " has been revoked"));
  }
  return std::move(found->record);
}

void Channels::CallHere(const LegPtr& leg, const record::Name& caller, const record::Record& recipient) {
  MakeOffer(leg, recipient, caller, "local", [this, leg](const absl::StatusOr<LegPtr>& callee) {
    if (!callee.ok()) return EndLeg(leg, callee.status());
    TellOpened(*callee, leg, "local", [this, leg, callee = *callee] {
      TellOpened(leg, callee, "local", [this, leg, callee] { Join(leg, NewAgentPipe(callee->stream), callee); });
    });
  });
}

void Channels::CallThere(const LegPtr& leg, const record::Name& caller, const record::Record& recipient,
                         absl::StatusOr<std::vector<p2p::PeerAddress>> gateways) {
  if (!gateways.ok()) return EndLeg(leg, gateways.status());
  trunk::v1::ChannelRequest request;
  request.set_recipient(recipient.name().text());
  request.set_caller(caller.text());
  request.set_caller_key(std::string(leg->agent.bytes()));
  request.set_method(leg->method);
  request.set_token(leg->token);
  parts_.trunk.OpenChannel(*std::move(gateways), request, [this, leg](const absl::StatusOr<OpenTrunk>& trunk) {
    if (leg->over) {
      if (trunk.ok()) trunk->pipe->Abort(HungUp());
      return;
    }
    if (!trunk.ok()) return EndLeg(leg, trunk.status());
    // From here on the pipe ends with the leg.
    leg->end = [stream = leg->stream, pipe = trunk->pipe](const absl::Status& why) {
      stream->Finish(why);
      pipe->Abort(why);
    };
    TellOpened(leg, nullptr, trunk->relayed ? "relayed" : "direct",
               [this, leg, pipe = trunk->pipe] { Join(leg, pipe, nullptr); });
  });
}

void Channels::Receive(IncomingTrunk incoming) {
  const auto caller_key = crypto::PublicKey::FromBytes(incoming.request.caller_key());
  const auto caller = record::Name::Parse(incoming.request.caller());
  const auto recipient = record::Name::Parse(incoming.request.recipient());
  for (const absl::Status& status : {caller_key.status(), caller.status(), recipient.status()}) {
    if (!status.ok()) return incoming.refuse(status);
  }
  if (parts_.is_revoked(*caller_key)) {
    return incoming.refuse(ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked,
                                           absl::StrCat("the key of ", caller->text(), " has been revoked")));
  }
  const LegPtr leg = NewLeg(*caller_key, nullptr);
  leg->end = [this, refuse = incoming.refuse](const absl::Status& why) {
    refused_.Increment();
    refuse(why);
  };
  leg->method = incoming.request.method();
  leg->token = incoming.request.token();
  // The policy judges by name and key, so that the other gateway must not be able to pair them as it likes. That the
  // caller has the key is shown to the callee by the session inside.
  parts_.directory.Resolve(*caller, false,
                           [this, leg, incoming = std::move(incoming), caller = *caller,
                            recipient = *recipient](const absl::StatusOr<host::Resolution>& found) {
                             if (leg->over) return;
                             if (!found.ok()) return EndLeg(leg, WithContext(found.status(), "caller"));
                             if (found->record.public_key() != leg->agent) {
                               return EndLeg(leg,
                                             ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyMismatch,
                                                             absl::StrCat(caller.text(), " is held by another key")));
                             }
                             ReceiveFor(leg, incoming, caller, recipient);
                           });
}

void Channels::ReceiveFor(const LegPtr& leg, const IncomingTrunk& incoming, const record::Name& caller,
                          const record::Name& recipient) {
  parts_.directory.Resolve(recipient, false, [this, leg, incoming, caller](absl::StatusOr<host::Resolution> found) {
    if (leg->over) return;
    const auto record = CheckRecipient(std::move(found));
    if (!record.ok()) return EndLeg(leg, record.status());
    if (!parts_.homes.LivesHere(*record)) {
      return EndLeg(leg, ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kBadAddress,
                                         absl::StrCat(record->name().text(), " does not live at this gateway")));
    }
    leg->other = record->public_key();
    if (!parts_.homes.IsFellow(incoming.from)) {
      const auto home = parts_.homes.HomeOf(record->name());
      if (!home.ok()) return EndLeg(leg, home.status());
      if (*home) return PassOn(leg, incoming, (*home)->address());
    }
    const std::string path = incoming.relayed ? "relayed" : "direct";
    MakeOffer(leg, *record, caller, path, [this, leg, incoming, path](const absl::StatusOr<LegPtr>& callee) {
      if (!callee.ok()) return EndLeg(leg, callee.status());
      AcceptTrunk(leg, incoming, *callee, path);
    });
  });
}

void Channels::PassOn(const LegPtr& leg, const IncomingTrunk& incoming, const p2p::PeerAddress& home) {
  parts_.trunk.OpenChannel({home}, incoming.request, [this, leg, incoming](const absl::StatusOr<OpenTrunk>& far) {
    if (leg->over) {
      if (far.ok()) far->pipe->Abort(HungUp());
      return;
    }
    if (!far.ok()) return EndLeg(leg, far.status());
    incoming.accept([this, leg, far = far->pipe](const absl::StatusOr<std::shared_ptr<Pipe>>& near) {
      if (near.ok() && !leg->over) return JoinTrunks(leg, *near, far);
      if (near.ok()) (*near)->Abort(HungUp());
      far->Abort(HungUp());
      Forget(leg);
    });
  });
}

void Channels::JoinTrunks(const LegPtr& leg, std::shared_ptr<Pipe> near, std::shared_ptr<Pipe> far) {
  leg->deadline = absl::InfiniteFuture();
  opened_.Increment();
  const auto splice = Splice::Start(
      std::move(near), std::move(far), [this](bool, absl::string_view bytes) { parts_.tap.Append(bytes); },
      [this, leg](const absl::Status&) { Forget(leg); });
  leg->end = [splice](const absl::Status& why) { splice->Abort(why); };
}

void Channels::AcceptTrunk(const LegPtr& leg, const IncomingTrunk& incoming, const LegPtr& callee,
                           const std::string& path) {
  incoming.accept([this, leg, callee, path](const absl::StatusOr<std::shared_ptr<Pipe>>& pipe) {
    if (!pipe.ok() || leg->over || callee->over) {
      if (pipe.ok()) (*pipe)->Abort(HungUp());
      Forget(leg);
      return EndLeg(callee, HungUp());
    }
    leg->end = [pipe = *pipe](const absl::Status& why) { pipe->Abort(why); };
    TellOpened(callee, leg, path, [this, leg, callee, pipe = *pipe] { Join(callee, pipe, leg); });
  });
}

absl::Status Channels::CanOffer(const InboxId& callee) const {
  if (legs_of_agent_.Full(callee.key.bytes())) {
    return Limit(absl::StrCat(callee.name.text(), " has as many channels open as it may; try again later"));
  }
  if (offers_.size() >= kMaxPendingOffers) return Limit("too many calls wait at this gateway; try again later");
  return parts_.listeners.CanOffer(callee);
}

void Channels::MakeOffer(const LegPtr& caller, const record::Record& callee, const record::Name& caller_name,
                         const std::string& path, Answer answer) {
  const InboxId inbox{callee.name(), callee.public_key()};
  const std::string id = parts_.random.Bytes(kChannelIdSize);
  gateway::v1::ChannelOffer offer;
  offer.set_channel_id(id);
  offer.set_caller(caller_name.text());
  offer.set_caller_key(std::string(caller->agent.bytes()));
  offer.set_method(caller->method);
  offer.set_token(caller->token);
  parts_.guard.CheckChannel(
      {.caller = caller_name,
       .caller_key = caller->agent,
       .method = caller->method,
       .token = caller->token,
       .id = id,
       .can_be_offered = [this, inbox] { return CanOffer(inbox); }},
      callee,
      [this, caller, inbox, offer, path,
       answer = std::move(answer)](absl::StatusOr<std::shared_ptr<const capability::Token>> allowed) {
        if (caller->over) return;
        if (!allowed.ok()) return answer(allowed.status());
        caller->allowed_by = *std::move(allowed);
        // Time may have passed: a use was counted.
        absl::Status ready = CanOffer(inbox);
        if (ready.ok() && caller->allowed_by) ready = parts_.guard.StillHolds(*caller->allowed_by);
        if (ready.ok()) ready = parts_.listeners.Offer(inbox, offer);
        if (!ready.ok()) return answer(ready);
        caller->offer = offer.channel_id();
        offers_.emplace(offer.channel_id(), Offer{inbox, caller, path, parts_.clock.Now() + kOfferLifetime, answer});
      });
}

void Channels::Accept(const LegPtr& leg, const gateway::v1::ChannelAccept& accept) {
  const auto found = offers_.find(accept.channel_id());
  // Another agent's offer is as good as none: whether it exists is not its business.
  if (found == offers_.end() || found->second.callee.key != leg->agent) {
    return EndLeg(leg, ErrorWithReason(absl::StatusCode::kNotFound, reason::kStale,
                                       "there is no such offer (any more): it was taken, it lapsed after 20 seconds, "
                                       "or the caller hung up"));
  }
  const Offer offer = std::move(found->second);
  offers_.erase(found);
  offer.caller->offer.clear();
  leg->other = offer.caller->agent;
  offer.answer(leg);
}

// `peer`: the leg that waits for this one and goes with it, if there is one here.
void Channels::TellOpened(const LegPtr& leg, const LegPtr& peer, const std::string& path, std::function<void()> then) {
  OpenChannelResponse response;
  response.mutable_opened()->set_path(path);
  leg->stream->Write(std::move(response), [this, leg, peer, then = std::move(then)](bool ok) {
    if (ok && !leg->over && !(peer && peer->over)) return then();
    EndLeg(leg, HungUp());
    if (peer) EndLeg(peer, HungUp());
  });
}

void Channels::Join(const LegPtr& agent, std::shared_ptr<Pipe> other_pipe, const LegPtr& other) {
  for (const LegPtr& leg : {agent, other}) {
    if (leg) leg->deadline = absl::InfiniteFuture();
  }
  opened_.Increment();
  const bool other_is_agent = other && other->stream;
  const auto splice = Splice::Start(
      NewAgentPipe(agent->stream), std::move(other_pipe),
      [this, other_is_agent](bool from_agent, absl::string_view bytes) {
        const auto count = static_cast<double>(bytes.size());
        if (from_agent || other_is_agent) bytes_from_agents_.Increment(count);
        if (!from_agent || other_is_agent) bytes_to_agents_.Increment(count);
        parts_.tap.Append(bytes);
      },
      [this, agent, other](const absl::Status& why) {
        telemetry::Log(telemetry::Level::kDebug, "channel ended", {{"why", why.ToString()}});
        Forget(agent);
        if (other) Forget(other);
      });
  const auto end = [splice](const absl::Status& why) { splice->Abort(why); };
  agent->end = end;
  if (other) other->end = end;
}

void Channels::EndWhere(const std::function<bool(const Leg&)>& matches, const absl::Status& why) {
  std::vector<LegPtr> ending;
  for (const auto& [_, leg] : legs_) {
    if (matches(*leg)) ending.push_back(leg);
  }
  for (const LegPtr& leg : ending) EndLeg(leg, why);
}

void Channels::End(const crypto::PublicKey& key, const absl::Status& why) {
  EndWhere([&](const Leg& leg) { return leg.agent == key || leg.other == key; }, why);
}

void Channels::EndUnlessHeld(const std::function<absl::Status(const capability::Token&)>& holds) {
  std::vector<std::pair<LegPtr, absl::Status>> ending;
  for (const auto& [_, leg] : legs_) {
    if (!leg->allowed_by) continue;
    absl::Status held = holds(*leg->allowed_by);
    if (!held.ok()) ending.emplace_back(leg, std::move(held));
  }
  for (const auto& [leg, why] : ending) EndLeg(leg, why);
}

void Channels::EndRevoked() {
  EndUnlessHeld([this](const capability::Token& token) { return parts_.guard.StillHolds(token); });
}

void Channels::Expire(absl::Time now) {
  std::vector<LegPtr> lapsed;
  for (const auto& [_, offer] : offers_) {
    if (offer.lapses <= now) lapsed.push_back(offer.caller);
  }
  EndUnlessHeld([now](const capability::Token& token) { return InboxGuard::InTime(token, now); });
  for (const LegPtr& caller : lapsed) {
    EndLeg(caller, ErrorWithReason(absl::StatusCode::kUnavailable, reason::kRecipientOffline,
                                   "the recipient listens, but did not take the call within 20 seconds"));
  }
  EndWhere([&](const Leg& leg) { return leg.deadline <= now; },
           ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kUnreachable,
                           "the channel could not be opened in a minute; try again"));
}

}  // namespace dotagent::gateway_service
