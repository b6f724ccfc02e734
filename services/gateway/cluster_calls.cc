#include "services/gateway/cluster_calls.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "services/gateway/call_relay.h"

namespace dotagent::gateway_service {
namespace {

using gateway::v1::InboxRequest;
using gateway::v1::InboxResponse;
using gateway::v1::OpenChannelRequest;
using gateway::v1::OpenChannelResponse;

constexpr absl::Duration kFirstWord = absl::Minutes(1);

absl::Status TooMany() {
  return ErrorWithReason(
      absl::StatusCode::kResourceExhausted, reason::kLimit,
      absl::StrCat("this agent has ", kMaxRelayedPerAgent, " calls open at another gateway of the cluster; end one"));
}

}  // namespace

ClusterCalls::ClusterCalls(const Parts& parts)
    : parts_(parts),
      open_(parts.metrics.AddGauge("dotagent_gateway_cluster_relayed",
                                   "Calls of agents here that another gateway of the cluster serves.")) {}

ClusterCalls::~ClusterCalls() {
  // Each would tell this object that it is over.
  EndWhere([](const Relayed&) { return true; }, absl::CancelledError("the gateway stops"));
}

template <typename Request, typename Response, typename Then>
void ClusterCalls::ReadFirst(const std::shared_ptr<Agent>& agent,
                             const std::shared_ptr<BidiStream<Request, Response>>& call, Then then) {
  if (!drained_.ok()) return call->Finish(drained_);
  Places::Place place = places_.Take(agent->key.bytes());
  if (place == nullptr) return call->Finish(TooMany());
  const uint64_t id = next_id_++;
  waiting_[id] = {agent->key, [call](const absl::Status& why) { call->Finish(why); }, parts_.clock.Now() + kFirstWord,
                  std::move(place)};
  call->Read([this, id, call, then = std::move(then)](const std::optional<Request>& first) {
    if (waiting_.erase(id) == 0) return;  // it was ended
    if (!first) return call->Finish(absl::OkStatus());
    then(*first);
  });
}

void ClusterCalls::ServeInbox(const std::shared_ptr<Agent>& agent, const std::shared_ptr<InboxStream>& call) {
  ReadFirst(agent, call, [this, agent, call](const InboxRequest& first) {
    const auto serve_here = [&] {
      parts_.listeners.Serve(agent, std::make_shared<BegunCall<InboxRequest, InboxResponse>>(call, first));
    };
    const auto name = record::Name::Parse(first.open().name());
    if (!name.ok()) return serve_here();  // it is refused there, as without a cluster
    const auto home = parts_.homes.HomeOf(*name);
    if (!home.ok()) return call->Finish(home.status());
    if (!*home) return serve_here();
    const p2p::PeerAddress& address = (*home)->address();
    Relay<InboxRequest, InboxResponse>(
        agent->key, *name, cluster::v1::RELAY_KIND_INBOX, address, call, first,
        [this, key = *address.key](const InboxResponse& response) { NoteOffer(response, key); });
  });
}

void ClusterCalls::ServeChannel(const std::shared_ptr<Agent>& agent, const std::shared_ptr<ChannelStream>& call) {
  ReadFirst(agent, call, [this, agent, call](const OpenChannelRequest& first) {
    const auto offer = offers_.find(first.accept().channel_id());
    if (!first.has_accept() || offer == offers_.end()) {
      return parts_.channels.Serve(agent,
                                   std::make_shared<BegunCall<OpenChannelRequest, OpenChannelResponse>>(call, first));
    }
    const crypto::PublicKey home = offer->second.home;
    offers_.erase(offer);
    Relay<OpenChannelRequest, OpenChannelResponse>(agent->key, std::nullopt, cluster::v1::RELAY_KIND_CHANNEL,
                                                   parts_.address_of(home), call, first,
                                                   [](const OpenChannelResponse&) {});
  });
}

template <typename Request, typename Response>
void ClusterCalls::Relay(const crypto::PublicKey& agent, std::optional<record::Name> inbox, cluster::v1::RelayKind kind,
                         const p2p::PeerAddress& home, const std::shared_ptr<BidiStream<Request, Response>>& call,
                         const Request& first, std::function<void(const Response&)> seen) {
  Places::Place place = places_.Take(agent.bytes());
  if (place == nullptr) return call->Finish(TooMany());
  const uint64_t id = next_id_++;
  const auto relay = std::make_shared<CallRelay<Request, Response>>(call, std::move(seen), [this, id] {
    relayed_.erase(id);
    open_.Set(static_cast<double>(relayed_.size()));
  });
  relayed_[id] = {agent, std::move(inbox), *home.key, [relay](const absl::Status& why) { relay->End(why); },
                  std::move(place)};
  open_.Set(static_cast<double>(relayed_.size()));
  relay->Start();
  cluster::v1::RelayOpen open;
  open.set_agent_key(std::string(agent.bytes()));
  open.set_kind(kind);
  parts_.link.OpenRelay(home, std::move(open), [relay, first](absl::StatusOr<std::shared_ptr<Pipe>> pipe) {
    relay->Open(std::move(pipe), first);
  });
}

void ClusterCalls::NoteOffer(const InboxResponse& response, const crypto::PublicKey& home) {
  // One that does not fit in cannot be taken, and lapses.
  if (!response.has_offer() || offers_.size() >= kMaxPendingOffers) return;
  offers_.insert_or_assign(response.offer().channel_id(), NotedOffer{home, parts_.clock.Now() + kOfferLifetime});
}

void ClusterCalls::Receive(const cluster::v1::RelayOpen& open, std::shared_ptr<Pipe> pipe) {
  const auto key = crypto::PublicKey::FromBytes(open.agent_key());
  if (!key.ok()) return pipe->Abort(key.status());
  const auto agent = std::make_shared<Agent>();
  agent->key = *key;
  switch (open.kind()) {
    case cluster::v1::RELAY_KIND_INBOX:
      return parts_.listeners.Serve(agent, std::make_shared<RelayedCall<InboxRequest, InboxResponse>>(pipe));
    case cluster::v1::RELAY_KIND_CHANNEL:
      return parts_.channels.Serve(agent, std::make_shared<RelayedCall<OpenChannelRequest, OpenChannelResponse>>(pipe));
    default:
      pipe->Abort(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, "no call of this kind"));
  }
}

void ClusterCalls::EndWhere(const std::function<bool(const Relayed&)>& matches, const absl::Status& why) {
  std::vector<std::function<void(const absl::Status&)>> ending;
  for (const auto& [_, relayed] : relayed_) {
    if (matches(relayed)) ending.push_back(relayed.end);
  }
  for (const auto& end : ending) end(why);
}

void ClusterCalls::OnMembersChanged() {
  EndWhere(
      [this](const Relayed& relayed) {
        if (!relayed.inbox) return false;
        const auto home = parts_.homes.HomeOf(*relayed.inbox);
        return home.ok() && (!*home || (*home)->address().key != relayed.home);
      },
      InboxMoved());
}

void ClusterCalls::EndInboxes(const crypto::PublicKey& key, const absl::Status& why) {
  EndWhere([&](const Relayed& relayed) { return relayed.agent == key && relayed.inbox; }, why);
  EndWaiting(key);
}

void ClusterCalls::End(const crypto::PublicKey& key, const absl::Status& why) {
  EndWhere([&](const Relayed& relayed) { return relayed.agent == key; }, why);
  EndWaiting(key);
}

void ClusterCalls::EndWaiting(const crypto::PublicKey& key) {
  for (auto& [_, waiting] : waiting_) {
    if (waiting.agent == key) waiting.deadline = absl::InfinitePast();
  }
  Expire(parts_.clock.Now());
}

void ClusterCalls::Drain(const absl::Status& why) {
  drained_ = why;
  // Channels run on.
  EndWhere([](const Relayed& relayed) { return relayed.inbox.has_value(); }, why);
  const auto waiting = std::exchange(waiting_, {});
  for (const auto& [_, call] : waiting) call.end(why);
}

void ClusterCalls::Expire(absl::Time now) {
  absl::erase_if(offers_, [&](const auto& offer) { return offer.second.lapses <= now; });
  std::vector<std::function<void(const absl::Status&)>> late;
  absl::erase_if(waiting_, [&](const auto& waiting) {
    if (waiting.second.deadline > now) return false;
    late.push_back(waiting.second.end);
    return true;
  });
  for (const auto& end : late) {
    end(ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kProtocol,
                        "nothing was said on this call; open it again"));
  }
}

absl::Status InboxMoved() {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                         "this inbox moves to another gateway of the cluster; open it again, here or there");
}

}  // namespace dotagent::gateway_service
