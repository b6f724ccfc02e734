#include "services/gateway/cluster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/p2p/rendezvous.h"
#include "common/telemetry/log.h"
#include "services/gateway/priority.h"

namespace dotagent::gateway_service {
namespace {

using cluster::v1::ClusterAnswer;
using cluster::v1::ClusterCall;

constexpr absl::Duration kProbeInterval = absl::Seconds(1);
constexpr absl::Duration kLookupInterval = absl::Seconds(5);
constexpr absl::Duration kHelloTimeout = absl::Seconds(2);
constexpr absl::Duration kCallTimeout = absl::Seconds(15);
constexpr absl::Duration kOnTheWay = absl::Seconds(2);
// Views of members come together within a probe or two.
constexpr absl::Duration kSettle = absl::Seconds(1);
constexpr size_t kPoliciesAtOnce = size_t{512} << 10;  // bytes
constexpr int kMaxAddresses = 16;                      // of a member
constexpr int kMaxOthers = 64;
constexpr size_t kMaxNamed = 64;  // addresses of one name
constexpr size_t kGatewaysInRecord = 3;
constexpr size_t kAddressesInRecord = 4;  // of each of the other two
constexpr char kMembers[] = "dotagent_gateway_cluster_members";
constexpr char kMembersHelp[] = "Gateways of the cluster as this one sees them, itself included.";
constexpr char kForwarded[] = "dotagent_gateway_cluster_forwarded_total";
constexpr char kForwardedHelp[] = "What was handed to the gateway of the cluster where the inbox is.";

bool IsName(const p2p::Multiaddr& address) {
  using Kind = p2p::Multiaddr::HostKind;
  return (address.kind == Kind::kDns || address.kind == Kind::kDns4 || address.kind == Kind::kDns6) && !address.relay;
}

p2p::PeerAddress PeerAddressOf(const crypto::PublicKey& key, const std::vector<std::string>& texts) {
  p2p::PeerAddress address{key, {}};
  for (const std::string& text : texts) {
    auto parsed = p2p::Multiaddr::Parse(text);
    if (parsed.ok() && parsed->peer == key) address.addresses.push_back(*std::move(parsed));
  }
  return address;
}

}  // namespace

class Cluster::Fellow : public FellowGateway {
 public:
  Fellow(const Cluster& cluster, const crypto::PublicKey& key, std::vector<std::string> addresses)
      : cluster_(cluster), texts_(std::move(addresses)), address_(PeerAddressOf(key, texts_)) {}
  [[nodiscard]] const p2p::PeerAddress& address() const override { return address_; }
  [[nodiscard]] const std::vector<std::string>& texts() const { return texts_; }

  void Deliver(const trunk::v1::DeliverRequest& request, std::function<void(absl::StatusOr<bool>)> done) override {
    cluster_.forwarded_messages_.Increment();
    ClusterCall call;
    call.set_deliver(request.SerializeAsString());
    cluster_.parts_.link.Call(address_, std::move(call),
                              {.timeout = kCallTimeout, .level = LevelOf(request.priority())},
                              [done = std::move(done)](const absl::StatusOr<ClusterAnswer>& answer) {
                                if (!answer.ok()) return done(answer.status());
                                done(answer->duplicate());
                              });
  }

  void Request(const trunk::v1::RequestCall& request, std::function<void(absl::StatusOr<Answer>)> done) override {
    cluster_.forwarded_requests_.Increment();
    ClusterCall call;
    call.set_request(request.SerializeAsString());
    cluster_.parts_.link.Call(
        address_, std::move(call),
        {.timeout = absl::Milliseconds(request.timeout_ms()) + kOnTheWay,
         .level = LevelOf(request.request().priority())},
        [done = std::move(done)](const absl::StatusOr<ClusterAnswer>& answer) {
          if (!answer.ok()) return done(answer.status());
          trunk::v1::RequestAnswer said;
          if (!said.ParseFromString(answer->body())) {
            return done(ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol,
                                        "the recipient's gateway answers what is no RequestAnswer"));
          }
          done(Answer{std::move(*said.mutable_message_json()), std::move(*said.mutable_attachment())});
        });
  }

 private:
  const Cluster& cluster_;
  const std::vector<std::string> texts_;
  const p2p::PeerAddress address_;  // of texts_
};

Cluster::Cluster(Parts parts)
    : parts_(std::move(parts)),
      members_(parts_.self, parts_.generation, parts_.limits),
      mover_({.inboxes = parts_.inboxes,
              .clock = parts_.clock,
              .metrics = parts_.metrics,
              .away = [this](const record::Name& name) -> std::optional<crypto::PublicKey> {
                auto home = members_.HomeOf(name.text());
                return home == parts_.self ? std::nullopt : home;
              },
              .send =
                  [this](const crypto::PublicKey& member, cluster::v1::MoveInbox part,
                         std::function<void(absl::Status)> done) {
                    ClusterCall call;
                    *call.mutable_move() = std::move(part);
                    // Moving inboxes is no reason for messages to wait.
                    parts_.link.Call(AddressOf(member), std::move(call),
                                     {.timeout = kCallTimeout, .level = session::Priority::kLow},
                                     [alive = std::weak_ptr(alive_),
                                      done = std::move(done)](const absl::StatusOr<ClusterAnswer>& answer) {
                                       if (!alive.expired()) done(answer.status());
                                     });
                  },
              .leaving = [this](const InboxId& inbox) { handlers_.leaving(inbox); }}),
      next_probe_(parts_.clock.Elapsed()),
      next_lookup_(parts_.clock.Elapsed()),
      peer_ids_({crypto::PeerIdFromKey(parts_.self)}),
      up_(parts_.metrics.AddGauge(kMembers, kMembersHelp, {{"state", "up"}})),
      active_(parts_.metrics.AddGauge(kMembers, kMembersHelp, {{"state", "active"}})),
      forwarded_messages_(parts_.metrics.AddCounter(kForwarded, kForwardedHelp, {{"what", "message"}})),
      forwarded_requests_(parts_.metrics.AddCounter(kForwarded, kForwardedHelp, {{"what", "request"}})) {}

Cluster::~Cluster() = default;

void Cluster::Tick() {
  const absl::Duration now = parts_.clock.Elapsed();
  const bool probing = now >= next_probe_;
  if (probing) {
    next_probe_ = now + kProbeInterval;
    Probe();
  }
  members_.Tick(now);
  OnMembers();
  // Also without a change: an Inbox that was being opened when members changed has found its home by the old ones, and
  // would wait there for messages that come elsewhere. About a microsecond for each that is open and each member.
  if (probing) handlers_.members_changed();
  mover_.Tick();
}

// After whatever may have changed who is active.
void Cluster::OnMembers() {
  for (const ClusterMember& member : members_.Untold()) {
    if (telling_.insert(member.key).second) TellPolicies(member, "");
  }
  up_.Set(static_cast<double>(members_.Up().size() + 1));
  active_.Set(static_cast<double>(members_.active().size()));
  if (std::exchange(version_, members_.version()) == members_.version()) return;
  telemetry::Log(telemetry::Level::kInfo, "the gateways of the cluster have changed",
                 {{"active", absl::StrCat(members_.active().size())}, {"up", absl::StrCat(members_.Up().size() + 1)}});
  parts_.inboxes.ForgetHandedOut();
  mover_.LookIn(members_.draining() ? absl::ZeroDuration() : kSettle);
  handlers_.members_changed();
}

bool Cluster::BeginAsking(const std::string& whom) {
  if (!asking_.insert(whom).second) return false;
  if (!looked_) first_round_.insert(whom);
  return true;
}

void Cluster::EndAsking(const std::string& whom) {
  asking_.erase(whom);
  first_round_.erase(whom);
  if (looked_ || !first_round_.empty() || lookups_ > 0) return;
  looked_ = true;
  members_.Looked();
  OnMembers();
}

void Cluster::Probe() {
  ++lookups_;  // until all that follows is under way
  for (const ClusterMember& member : members_.Others()) SayHello(AddressOf(member.key));
  for (const p2p::Multiaddr& address : parts_.peers) {
    if (!IsName(address)) AskAddress(address);
  }
  for (const p2p::Multiaddr& address : std::exchange(hearsay_, {})) AskAddress(address);
  const absl::Duration now = parts_.clock.Elapsed();
  if (now >= next_lookup_) {
    next_lookup_ = now + kLookupInterval;
    LookUpNames();
  }
  --lookups_;
  EndAsking("");
}

void Cluster::LookUpNames() {
  for (const p2p::Multiaddr& name : parts_.peers) {
    if (!IsName(name)) continue;
    ++lookups_;
    parts_.names->Resolve(
        name, [this, alive = std::weak_ptr(alive_), name](const absl::StatusOr<std::vector<p2p::Multiaddr>>& found) {
          if (alive.expired()) return;
          if (found.ok()) {
            for (size_t i = 0; i < std::min(found->size(), kMaxNamed); ++i) AskAddress((*found)[i]);
          } else {
            telemetry::Log(telemetry::Level::kDebug, "no gateway of the cluster is found by its name",
                           {{"name", name.ToString()}, {"why", found.status().ToString()}});
          }
          --lookups_;
          EndAsking("");
        });
  }
}

void Cluster::AskAddress(const p2p::Multiaddr& address) {
  if (address.peer) {
    if (address.peer == parts_.self || members_.Find(*address.peer) != nullptr) return;
    return SayHello({address.peer, {address}});
  }
  const std::string text = address.ToString();
  // Those of members that are known are probed by their keys.
  for (const ClusterMember& member : members_.Up()) {
    for (const std::string& known : member.addresses) {
      if (absl::StartsWith(known, absl::StrCat(text, "/p2p/"))) return;
    }
  }
  if (!BeginAsking(text)) return;
  parts_.link.Identify(
      address, [this, alive = std::weak_ptr(alive_), address, text](const absl::StatusOr<crypto::PublicKey>& key) {
        if (alive.expired()) return;
        if (key.ok() && *key != parts_.self) SayHello({*key, {address}});
        EndAsking(text);
      });
}

void Cluster::SayHello(const p2p::PeerAddress& member) {
  const std::string whom(member.key->bytes());
  if (!BeginAsking(whom)) return;
  ClusterCall call;
  *call.mutable_hello() = HelloTo(*member.key);
  parts_.link.Call(
      member, std::move(call), {.timeout = kHelloTimeout, .level = session::Priority::kHigh},
      [this, alive = std::weak_ptr(alive_), key = *member.key, whom](const absl::StatusOr<ClusterAnswer>& answer) {
        if (alive.expired()) return;
        if (answer.ok()) {
          OnHello(key, answer->hello());
        } else if (ReasonOf(answer.status()) == reason::kNotAuthenticated) {
          telemetry::Log(telemetry::Level::kWarning, "a gateway does not belong to the cluster",
                         {{"peer", crypto::PeerIdFromKey(key)}, {"why", answer.status().ToString()}});
        }
        EndAsking(whom);
      });
}

void Cluster::Announce(const ClusterMember& member) {
  ClusterCall call;
  *call.mutable_hello() = HelloTo(member.key);
  parts_.link.Call(
      AddressOf(member.key), std::move(call), {.timeout = kHelloTimeout, .level = session::Priority::kHigh},
      [this, alive = std::weak_ptr(alive_), key = member.key](const absl::StatusOr<ClusterAnswer>& answer) {
        if (!alive.expired() && answer.ok()) OnHello(key, answer->hello());
      });
}

cluster::v1::Hello Cluster::HelloTo(const crypto::PublicKey& member) const {
  cluster::v1::Hello hello;
  hello.set_generation(parts_.generation);
  for (const std::string& address : parts_.addresses()) {
    if (hello.addresses_size() < kMaxAddresses) hello.add_addresses(address);
  }
  hello.set_draining(members_.draining());
  hello.set_joined(members_.joined());
  hello.set_told_generation(members_.ToldGeneration(member));
  hello.set_holds(members_.HoldsForRestarts(member));
  for (const ClusterMember& other : members_.Up()) {
    if (other.key == member || other.addresses.empty() || hello.others_size() == kMaxOthers) continue;
    hello.add_others(other.addresses.front());
  }
  return hello;
}

void Cluster::OnHello(const crypto::PublicKey& member, const cluster::v1::Hello& hello) {
  ClusterMember heard{.key = member,
                      .generation = hello.generation(),
                      .draining = hello.draining(),
                      .joined = hello.joined(),
                      .told_generation = hello.told_generation(),
                      .holds_us = hello.holds()};
  for (const std::string& address : hello.addresses()) {
    if (heard.addresses.size() < kMaxAddresses) heard.addresses.push_back(address);
  }
  const absl::Status status = members_.Heard(heard, parts_.clock.Elapsed());
  if (!status.ok()) {
    telemetry::Log(telemetry::Level::kWarning, "a gateway of the cluster is left out", {{"why", status.ToString()}});
    return;
  }
  NoteFellow(heard);
  for (const std::string& text : hello.others()) {
    auto address = p2p::Multiaddr::Parse(text);
    if (!address.ok() || !address->peer || address->peer == parts_.self) continue;
    if (members_.Find(*address->peer) != nullptr) continue;
    if (!looked_) {
      AskAddress(*address);  // part of the first look: it may know policies that nobody else has yet
    } else if (hearsay_.size() < kMaxNamed) {
      hearsay_.push_back(*address);
    }
  }
  OnMembers();
}

// To parse an address costs as much as to check a signature, and where members are is asked at every message.
void Cluster::NoteFellow(const ClusterMember& member) {
  std::shared_ptr<Fellow>& fellow = fellows_[member.key];
  if (fellow == nullptr || fellow->texts() != member.addresses) {
    fellow = std::make_shared<Fellow>(*this, member.key, member.addresses);
  }
  absl::erase_if(fellows_, [this](const auto& known) { return members_.Find(known.first) == nullptr; });
  peer_ids_ = {crypto::PeerIdFromKey(parts_.self)};
  for (const auto& [key, _] : fellows_) peer_ids_.insert(crypto::PeerIdFromKey(key));
}

void Cluster::TellPolicies(const ClusterMember& member, const std::string& after) {
  auto page = parts_.guard.PoliciesAfter(after, kPoliciesAtOnce);
  if (!page.ok()) {
    telemetry::Log(telemetry::Level::kError, "cannot read the inbox policies", {{"why", page.status().ToString()}});
    telling_.erase(member.key);
    return;
  }
  if (page->policies().empty()) {
    telling_.erase(member.key);
    members_.Told(member.key, member.generation);
    Announce(member);  // it waits for that
    return OnMembers();
  }
  const std::string last = page->policies().rbegin()->name();
  ClusterCall call;
  *call.mutable_policies() = *std::move(page);
  parts_.link.Call(AddressOf(member.key), std::move(call), {.timeout = kCallTimeout},
                   [this, alive = std::weak_ptr(alive_), member, last](const absl::StatusOr<ClusterAnswer>& answer) {
                     if (alive.expired()) return;
                     if (answer.ok()) return TellPolicies(member, last);
                     telling_.erase(member.key);  // begun anew at the next tick, if it still answers
                   });
}

void Cluster::Drain() {
  members_.Drain();
  for (const ClusterMember& member : members_.Up()) Announce(member);
  OnMembers();
  mover_.LookIn(absl::ZeroDuration());
  mover_.Tick();
}

void Cluster::OnLeftBehind() { mover_.LookIn(members_.draining() ? absl::ZeroDuration() : kSettle); }

bool Cluster::moved_out() const { return members_.active().empty() || mover_.idle(); }

bool Cluster::LivesHere(const record::Record& record) const {
  return std::any_of(record.addresses().begin(), record.addresses().end(), [&](const std::string& address) {
    const size_t slash = address.rfind('/');
    return slash != std::string::npos && absl::EndsWith(absl::string_view(address).substr(0, slash), "/p2p") &&
           peer_ids_.contains(absl::string_view(address).substr(slash + 1));
  });
}

absl::StatusOr<std::shared_ptr<FellowGateway>> Cluster::HomeOf(const record::Name& name) const {
  const auto home = members_.HomeOf(name.text());
  if (!home) {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                           "this gateway has not found its cluster yet; try again");
  }
  if (*home == parts_.self) return nullptr;
  return fellows_.at(*home);
}

p2p::PeerAddress Cluster::AddressOf(const crypto::PublicKey& member) const {
  const auto known = fellows_.find(member);
  return known == fellows_.end() ? p2p::PeerAddress{member, {}} : known->second->address();
}

std::vector<std::string> Cluster::RecordAddresses() const {
  std::vector<std::string> addresses = parts_.addresses();
  std::vector<crypto::PublicKey> others = members_.active();
  others.erase(std::remove(others.begin(), others.end(), parts_.self), others.end());
  for (const crypto::PublicKey& other : p2p::RendezvousNodes(parts_.self.bytes(), others, kGatewaysInRecord - 1)) {
    const ClusterMember* member = members_.Find(other);
    if (member == nullptr) continue;
    for (size_t i = 0; i < std::min(member->addresses.size(), kAddressesInRecord); ++i) {
      addresses.push_back(member->addresses[i]);
    }
  }
  return addresses;
}

void Cluster::SharePolicy(const record::Name& name, std::function<void(absl::Status)> done) {
  const auto policy = parts_.guard.FindPolicy(name);
  if (!policy.ok()) return done(policy.status());
  ClusterCall call;
  *call.mutable_policies()->add_policies() = *policy;
  struct Round {
    size_t waiting = 1;
    absl::Status worst;
    std::function<void(absl::Status)> done;
  };
  const auto round = std::make_shared<Round>();
  round->done = std::move(done);
  const auto end = [round](const absl::Status& status) {
    if (!status.ok())
      round->worst = WithContext(status, "not every gateway of the cluster has the policy; set it again");
    if (--round->waiting == 0) round->done(round->worst);
  };
  for (const ClusterMember& member : members_.Up()) {
    ++round->waiting;
    parts_.link.Call(AddressOf(member.key), call, {.timeout = kCallTimeout},
                     [end](const absl::StatusOr<ClusterAnswer>& answer) { end(answer.status()); });
  }
  end(absl::OkStatus());
}

void Cluster::ShareRegistration(const std::string& rotation_chain, const record::Name& name,
                                const crypto::PublicKey& key) {
  ClusterCall call;
  call.mutable_registered()->set_name(name.text());
  call.mutable_registered()->set_key(std::string(key.bytes()));
  call.mutable_registered()->set_rotation_chain(rotation_chain);
  for (const ClusterMember& member : members_.Up()) {
    parts_.link.Call(AddressOf(member.key), call, {.timeout = kCallTimeout},
                     [](const absl::StatusOr<ClusterAnswer>&) {});
  }
}

void Cluster::ListDeadLetters(const p2p::PeerAddress& home, const InboxId& inbox, uint64_t after,
                              std::function<void(absl::StatusOr<gateway::v1::ListDeadLettersResponse>)> done) {
  ClusterCall call;
  call.mutable_list_dead()->set_name(inbox.name.text());
  call.mutable_list_dead()->set_key(std::string(inbox.key.bytes()));
  call.mutable_list_dead()->set_after_sequence(after);
  parts_.link.Call(home, std::move(call), {.timeout = kCallTimeout},
                   [done = std::move(done)](const absl::StatusOr<ClusterAnswer>& answer) {
                     if (!answer.ok()) return done(answer.status());
                     gateway::v1::ListDeadLettersResponse response;
                     if (response.ParseFromString(answer->body())) return done(std::move(response));
                     done(ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol,
                                          "your home gateway answers what is no list"));
                   });
}

}  // namespace dotagent::gateway_service
