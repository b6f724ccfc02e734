#include "services/gateway/gateway_service.h"

#include <asio/steady_timer.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/p2p/multiaddr.h"
#include "common/p2p/name_resolver.h"
#include "common/telemetry/log.h"
#include "services/gateway/cluster.h"
#include "services/gateway/cluster_link.h"
#include "services/gateway/gateway.h"
#include "services/gateway/shell.h"
#include "services/host/revocation_feed.h"

namespace dotagent::gateway_service {
namespace {

constexpr uint32_t kSchemaVersion = 2;  // 1: without dead letters
constexpr std::chrono::seconds kTick{1};
constexpr std::chrono::milliseconds kClusterTick{200};
constexpr absl::Duration kJoinTimeout = absl::Seconds(15);

absl::StatusOr<std::vector<p2p::Multiaddr>> ParseRelays(const std::vector<std::string>& texts) {
  std::vector<p2p::Multiaddr> relays;
  for (const std::string& text : texts) {
    auto relay = p2p::Multiaddr::Parse(text);
    if (!relay.ok()) return WithContext(relay.status(), absl::StrCat("--relay ", text));
    if (!relay->peer || relay->relay) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                             absl::StrCat("--relay ", text, ": give the relay's own address with its peer id, ",
                                          "such as /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…"));
    }
    relays.push_back(*std::move(relay));
  }
  return relays;
}

class GatewayServer : public host::Service {
 public:
  explicit GatewayServer(std::unique_ptr<host::Host> host)
      : host_(std::move(host)), tick_(host_->loop().executor()), cluster_tick_(host_->loop().executor()) {}

  ~GatewayServer() override {
    host_->loop().Run([this] {
      if (cluster_) cluster_->Drain();  // before the agents, so that they find their inboxes at their new homes
      if (gateway_) gateway_->Drain();
      draining_ = true;
    });
    // The public port is still open, so that inboxes can move.
    host_->Drain([this](absl::Duration left) {
      if (sidecar_) sidecar_->Drain(left);
      if (!cluster_ || moved_out_.WaitForNotificationWithTimeout(cluster_drain_timeout_)) return;
      telemetry::Log(telemetry::Level::kWarning, "not every inbox could move; the rest waits on this gateway's disk");
    });
    host_->loop().Run([this] {
      tick_.cancel();
      cluster_tick_.cancel();
      stopping_ = true;
    });
    feed_.reset();  // needs a running loop
    if (directory_) directory_->Shutdown();
    if (redeemer_) redeemer_->Shutdown();
    // From here on no callback can find a part of the gateway gone.
    host_->loop().Stop();
  }

  [[nodiscard]] absl::Status Start(const Options& options) {
    if (options.resolver.empty()) {
      return absl::InvalidArgumentError("--resolver is missing: give the host:port of a resolver's gRPC port");
    }
    RETURN_IF_ERROR(options.admission.Check());
    ASSIGN_OR_RETURN(relays_, ParseRelays(options.relays));
    RETURN_IF_ERROR(ReadClusterOptions(options));
    ASSIGN_OR_RETURN(tap_, Tap::Open(options.tap));
    ASSIGN_OR_RETURN(resolver_, host_->Dial(options.resolver));
    directory_ = host::NewResolverDirectory(resolver_->grpc(), host_->executor(), host_->clock());
    ASSIGN_OR_RETURN(inboxes_, InboxStore::Open(host_->store(), host_->executor(),
                                                {.max_messages = options.max_inbox_messages,
                                                 .lifetime = options.message_lifetime,
                                                 .max_deliveries = options.max_deliveries,
                                                 .dead_letter_lifetime = options.dead_letter_lifetime,
                                                 .clustered = secret_.has_value()}));
    ASSIGN_OR_RETURN(durable_, DurableQueues::Open(host_->store(), host_->executor(), {}));
    if (!options.identity.empty()) {
      ASSIGN_OR_RETURN(identity_, host_->Dial(options.identity));
    }
    redeemer_ = NewIdentityRedeemer(identity_.get(), host_->executor());
    guard_ = std::make_unique<InboxGuard>(
        host_->store(), *redeemer_, [this](const crypto::PublicKey& key) { return stopping_ || feed_->IsRevoked(key); },
        host_->clock(), host_->metrics(), host_->profile().token_cache_bytes);
    // Before the doors open, so that what is known to be revoked is refused from the first call on.
    ASSIGN_OR_RETURN(feed_, host::RevocationFeed::Create(
                                *host_, options.identity,
                                [this](const identity::Revocation& revocation, const std::string&) {
                                  OnRevoked(revocation.public_key);
                                },
                                [this](const capability::TokenRevocation& revocation) { OnTokenRevoked(revocation); }));
    host_->loop().Run([&] { BuildGateway(options); });
    // Doors open when this gateway knows its cluster, so that nobody is turned away for that; if it does not come to
    // know it, its agents at least hear why.
    if (cluster_ && !joined_.WaitForNotificationWithTimeout(kJoinTimeout)) {
      telemetry::Log(telemetry::Level::kWarning, "the cluster's other gateways have not told all that they know yet");
    }
    if (options.sidecar.enabled()) {
      ASSIGN_OR_RETURN(sidecar_, StartSidecar(options.sidecar, *host_, *gateway_, [this] { return Addresses(); }));
      host_->loop().Run([this] { Tick(); });
      return host_->Serve({});  // health, for whoever runs it; the one agent is at its socket
    }
    host_->loop().Run([this] { Tick(); });
    shell_ = std::make_unique<Shell>(*gateway_, host_->loop(), host_->clock(), host_->metrics());
    return host_->Serve({shell_.get()}, {{"/standings", [this] { return gateway_->admission().Standings(); }}});
  }

  [[nodiscard]] host::Host& host() override { return *host_; }

 private:
  void BuildGateway(const Options& options) {
    const asio::any_io_executor executor = host_->loop().executor();
    trunk_ = NewNodeTrunk(executor, host_->node());
    if (secret_) BuildCluster(options);
    gateway_ = std::make_unique<Gateway>(Gateway::Parts{
        .key = host_->key(),
        .channel_binding = host_->certificate().sha256,
        .addresses = [this] { return Addresses(); },
        .inboxes = *inboxes_,
        .directory = *directory_,
        .trunk = *trunk_,
        .tap = *tap_,
        .guard = *guard_,
        .is_revoked = [this](const crypto::PublicKey& key) { return stopping_ || feed_->IsRevoked(key); },
        .clock = host_->clock(),
        .random = host_->random(),
        .metrics = host_->metrics(),
        .tokens = {.lifetime = options.token_lifetime},
        .max_channels_per_agent = options.max_channels_per_agent,
        .post = host_->executor(),
        .admission = options.admission.Limits(),
        .cluster = cluster_.get(),
        .cluster_link = cluster_link_.get(),
        .durable = durable_.get()});
    if (cluster_) {
      ServeCluster(executor, host_->node(), *secret_, cluster_->link_handlers());
      TickCluster();
    }
    ServeTrunk(executor, host_->node(), gateway_->trunk_handlers());
    for (const p2p::Multiaddr& relay : relays_) {
      host_->node().HoldReservation(relay, [address = relay.ToString()](bool held) {
        telemetry::Log(held ? telemetry::Level::kInfo : telemetry::Level::kWarning,
                       held ? "reachable through a relay" : "lost the reservation at a relay; trying again",
                       {{"relay", address}});
      });
    }
  }

  [[nodiscard]] absl::Status ReadClusterOptions(const Options& options) {
    if (options.cluster_secret_file.empty()) {
      if (options.cluster_peers.empty()) return absl::OkStatus();
      return absl::InvalidArgumentError("--cluster-peer needs --cluster-secret-file: without it anybody is a member");
    }
    ASSIGN_OR_RETURN(secret_, ClusterSecret::Read(options.cluster_secret_file));
    for (const std::string& text : options.cluster_peers) {
      auto peer = p2p::Multiaddr::Parse(text);
      if (!peer.ok()) return WithContext(peer.status(), absl::StrCat("--cluster-peer ", text));
      cluster_peers_.push_back(*std::move(peer));
    }
    cluster_drain_timeout_ = options.cluster_drain_timeout;
    return absl::OkStatus();
  }

  void BuildCluster(const Options& options) {
    names_ = p2p::NewSystemNameResolver(host_->loop().executor());
    cluster_link_ = NewNodeClusterLink(host_->node(), *secret_);
    uint64_t generation = 0;
    while (generation == 0) host_->random().Fill(&generation, sizeof(generation));
    cluster_ = std::make_unique<Cluster>(Cluster::Parts{.self = host_->key().public_key(),
                                                        .generation = generation,
                                                        .addresses = [this] { return Addresses(); },
                                                        .peers = cluster_peers_,
                                                        .names = names_.get(),
                                                        .link = *cluster_link_,
                                                        .inboxes = *inboxes_,
                                                        .guard = *guard_,
                                                        .clock = host_->clock(),
                                                        .metrics = host_->metrics(),
                                                        .limits = {.down_after = options.cluster_down_after}});
  }

  void TickCluster() {
    cluster_->Tick();
    if (cluster_->joined() && !joined_.HasBeenNotified()) joined_.Notify();
    if (draining_ && gateway_->keeping() == 0 && cluster_->moved_out() && !moved_out_.HasBeenNotified()) {
      moved_out_.Notify();
    }
    cluster_tick_.expires_after(kClusterTick);
    cluster_tick_.async_wait([this](const asio::error_code& error) {
      if (!error && !stopping_) TickCluster();
    });
  }

  void OnRevoked(const crypto::PublicKey& key) {
    if (stopping_) return;
    if (gateway_) gateway_->OnRevoked(key);
  }

  // Also of those that were known when this began, before there is a gateway.
  void OnTokenRevoked(const capability::TokenRevocation& revocation) {
    if (stopping_) return;
    gateway_ ? gateway_->OnTokenRevoked(revocation) : guard_->OnTokenRevoked(revocation);
  }

  // A relay is listed whether or not its reservation is held at this moment: records live longer than an outage.
  [[nodiscard]] std::vector<std::string> Addresses() {
    const std::string self = crypto::PeerIdFromKey(host_->key().public_key());
    std::vector<std::string> addresses;
    for (const std::string& address : host_->node().addresses()) {
      addresses.push_back(absl::StrCat(address, "/p2p/", self));
    }
    for (const p2p::Multiaddr& relay : relays_) {
      addresses.push_back(absl::StrCat(relay.ToString(), "/p2p-circuit/p2p/", self));
    }
    return addresses;
  }

  void Tick() {
    gateway_->Tick();
    if (sidecar_) sidecar_->Tick();
    tick_.expires_after(kTick);
    tick_.async_wait([this](const asio::error_code& error) {
      if (!error && !stopping_) Tick();
    });
  }

  // Destroyed from the last to the first: the host, which all of them use, goes last.
  std::unique_ptr<host::Host> host_;
  std::vector<p2p::Multiaddr> relays_;
  std::unique_ptr<Tap> tap_;
  std::unique_ptr<rpc::Channel> resolver_;
  std::unique_ptr<host::Directory> directory_;
  std::unique_ptr<InboxStore> inboxes_;
  std::unique_ptr<DurableQueues> durable_;
  std::unique_ptr<rpc::Channel> identity_;
  std::unique_ptr<Redeemer> redeemer_;
  std::unique_ptr<InboxGuard> guard_;
  std::unique_ptr<host::RevocationFeed> feed_;
  std::unique_ptr<Trunk> trunk_;
  std::optional<ClusterSecret> secret_;  // of a gateway that is part of a cluster
  std::vector<p2p::Multiaddr> cluster_peers_;
  absl::Duration cluster_drain_timeout_;
  std::unique_ptr<p2p::NameResolver> names_;
  std::unique_ptr<ClusterLink> cluster_link_;
  std::unique_ptr<Cluster> cluster_;
  absl::Notification joined_;
  absl::Notification moved_out_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<Shell> shell_;
  std::unique_ptr<SidecarServer> sidecar_;
  asio::steady_timer tick_;
  asio::steady_timer cluster_tick_;
  bool draining_ = false;
  bool stopping_ = false;  // set on the loop when no call is left, so that gRPC's threads may read it
};

}  // namespace

void Options::AddTo(OptionTable& table) {
  table.Add("resolver", &resolver, "host:port of the resolver that publishes and finds names; required");
  table.Add("identity", &identity,
            "host:port of identity, to learn of revocations at once and to count uses of tokens");
  table.Add("relay", &relays,
            "Multiaddr of a relay with its /p2p/ id, through which others may reach this gateway; repeatable");
  table.Add("token-lifetime", &token_lifetime, "How long an agent's token is valid");
  table.Add("max-inbox-messages", &max_inbox_messages, "Messages that may wait for one agent");
  table.Add("message-lifetime", &message_lifetime, "How long a message waits before it becomes a dead letter");
  table.Add("max-deliveries", &max_deliveries,
            "How often a message is delivered before it becomes a dead letter; 0: until it is acknowledged");
  table.Add("dead-letter-lifetime", &dead_letter_lifetime,
            "How long messages that were given up are kept for their recipient to list; 0: not at all");
  table.Add("max-channels-per-agent", &max_channels_per_agent, "Channels that one agent may have open");
  admission.AddTo(table);
  sidecar.AddTo(table);
  table.Add("cluster-peer", &cluster_peers,
            "Multiaddr at which other gateways of the cluster are, such as that of a headless service; repeatable");
  table.Add("cluster-secret-file", &cluster_secret_file,
            "File with the secret that the gateways of the cluster share; without it this gateway stands alone");
  table.Add("cluster-down-after", &cluster_down_after, "For how long a gateway of the cluster may be silent");
  table.Add("cluster-drain-timeout", &cluster_drain_timeout,
            "How long a gateway that stops goes on moving its inboxes to the others");
  table.Add("tap", &tap, "File to which a copy of everything forwarded for agents is appended");
  table.AddExample(
      "dotagent-gateway --data-dir /var/lib/dotagent-gateway --resolver resolver-0:7443 --identity identity:7443");
}

absl::StatusOr<std::unique_ptr<host::Service>> Start(const Options& options) {
  ASSIGN_OR_RETURN(auto host, host::Host::Create("gateway", options.host, kSchemaVersion));
  auto server = std::make_unique<GatewayServer>(std::move(host));
  RETURN_IF_ERROR(server->Start(options));
  return std::unique_ptr<host::Service>(std::move(server));
}

}  // namespace dotagent::gateway_service
