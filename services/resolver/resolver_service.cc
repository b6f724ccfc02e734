#include "services/resolver/resolver_service.h"

#include <asio/steady_timer.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/dht/dht.h"
#include "common/dht/network_rules.h"
#include "common/p2p/dht_network.h"
#include "common/p2p/dns_network.h"
#include "common/p2p/multiaddr.h"
#include "common/p2p/name_resolver.h"
#include "common/telemetry/log.h"
#include "services/host/mdns.h"
#include "services/host/revocation_feed.h"
#include "services/resolver/handler.h"
#include "services/resolver/shell.h"

namespace dotagent::resolver_service {
namespace {

constexpr uint32_t kSchemaVersion = 1;
constexpr auto kGaugeInterval = std::chrono::seconds(1);
constexpr absl::Duration kStrangerWarningInterval = absl::Minutes(1);

class FeedRevocations : public Revocations {
 public:
  explicit FeedRevocations(const std::unique_ptr<host::RevocationFeed>& feed) : feed_(feed) {}
  [[nodiscard]] bool IsRevoked(const crypto::PublicKey& key) const override { return feed_->IsRevoked(key); }
  [[nodiscard]] absl::Status Learn(absl::string_view statement, absl::string_view rotation_chain) override {
    return feed_->Learn(statement, rotation_chain);
  }

 private:
  const std::unique_ptr<host::RevocationFeed>& feed_;
};

class ResolverServer : public host::Service {
 public:
  explicit ResolverServer(std::unique_ptr<host::Host> host)
      : host_(std::move(host)), revocations_(feed_), gauges_timer_(host_->loop().executor()) {}

  ~ResolverServer() override {
    host_->Drain();
    mdns_.reset();
    feed_.reset();  // needs a running loop
    host_->loop().Run([this] {
      gauges_timer_.cancel();
      handler_.reset();
      dht_.reset();
      bootstrap_network_.reset();
      names_.reset();
      network_.reset();
    });
    host_->loop().Stop();
  }

  [[nodiscard]] absl::Status Start(const Options& options, NetworkSettings settings) {
    settings_ = std::move(settings);
    ASSIGN_OR_RETURN(pins_, Pins::Load(host_->store(), host_->metrics()));
    if (settings_.registrar_decides && settings_.policy.registrars.empty()) {
      ASSIGN_OR_RETURN(const crypto::PublicKey registrar, IdentityAsRegistrar(*host_, options.identity));
      settings_.policy.registrars.push_back(registrar);
    }
    ASSIGN_OR_RETURN(const uint64_t solution, OwnPuzzleSolution(*host_, settings_.puzzle.dynamic_bits));
    host_->loop().Run([&] { BuildDht(solution); });
    ASSIGN_OR_RETURN(feed_, host::RevocationFeed::Create(
                                *host_, options.identity,
                                [this](const identity::Revocation& revocation, const std::string& statement) {
                                  handler_->OnRevoked(revocation, statement);
                                },
                                nullptr, settings_.policy.registrars));
    host_->loop().Run([&] {
      dht_->Start(options.bootstrap, [](const absl::Status& status) {
        if (!status.ok()) {
          telemetry::Log(telemetry::Level::kWarning, "no bootstrap node answered yet; trying on",
                         {{"error", std::string(status.message())}});
        }
      });
      UpdateGauges();
    });
    if (options.mdns) RETURN_IF_ERROR(StartMdns());
    shell_ = std::make_unique<Shell>(
        *handler_, [this] { return Status(); }, host_->entrance());
    return host_->Serve({shell_.get()});
  }

  [[nodiscard]] host::Host& host() override { return *host_; }

 private:
  // On the loop.
  void BuildDht(uint64_t puzzle_solution) {
    const crypto::PublicKey& key = host_->key().public_key();
    network_ = std::make_unique<p2p::DhtNetwork>(
        host_->loop().executor(), host_->node(),
        p2p::DhtNetworkOptions{.protocol = dht::ProtocolIdOf(settings_.policy, settings_.puzzle),
                               .dynamic_puzzle = settings_.puzzle.dynamic_bits > 0,
                               .met_stranger = [this](const crypto::PublicKey& node) { OnStranger(node); }});
    names_ = p2p::NewSystemNameResolver(host_->loop().executor());
    bootstrap_network_ = std::make_unique<p2p::DnsNetwork>(network_.get(), names_.get(), key);
    dht_ = std::make_unique<dht::Dht>(
        dht::DhtOptions{.self = {dht::Id::OfNode(key), key, host_->node().addresses(), puzzle_solution},
                        .signer = &host_->key(),
                        .paths = settings_.paths,
                        .puzzle = settings_.puzzle,
                        .table = settings_.table,
                        .refresh_interval = host_->profile().bucket_refresh_interval,
                        .stretch = [this] { return host_->stretch(); },
                        .values = {.policy = settings_.policy}},
        bootstrap_network_.get(), &host_->clock(), &host_->random(), &host_->store());
    handler_ = std::make_unique<Handler>(Handler::Parts{.dht = *dht_,
                                                        .revocations = revocations_,
                                                        .pins = *pins_,
                                                        .clock = host_->clock(),
                                                        .metrics = host_->metrics(),
                                                        .post = host_->executor(),
                                                        .registrar_decides = settings_.registrar_decides,
                                                        .cached_records = host_->profile().cached_records});
    bootstrap_network_->OnFound([this](const dht::Contact& contact) { dht_->AddContact(contact); });
    network_->Serve(*dht_);
  }

  void OnStranger(const crypto::PublicKey& node) {
    strangers_.Increment();
    const absl::Duration now = host_->clock().Elapsed();
    if (now < next_warning_) return;
    next_warning_ = now + kStrangerWarningInterval;
    telemetry::Log(
        telemetry::Level::kWarning,
        "a node that was called does not take part in this network: it has other rules, or is no resolver; "
        "--name-policy, --registrar and the --puzzle options must be the same at all resolvers of a network",
        {{"node", crypto::PeerIdFromKey(node)}, {"protocol", dht::ProtocolIdOf(settings_.policy, settings_.puzzle)}});
  }

  [[nodiscard]] absl::Status StartMdns() {
    const std::vector<std::string> addresses = host_->p2p_addresses();
    const auto own = addresses.empty() ? absl::NotFoundError("none") : p2p::Multiaddr::Parse(addresses.front());
    if (!own.ok()) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                             "--mdns announces the public port, but --p2p-listen is empty");
    }
    auto mdns = host::Mdns::Start({.peer_id = crypto::PeerIdFromKey(host_->key().public_key()),
                                   .port = own->port,
                                   .found = [this](const std::string& address) {
                                     host_->loop().Post([this, address] {
                                       if (dht_) dht_->AddAddress(address);
                                     });
                                   }});
    if (mdns.ok()) {
      mdns_ = *std::move(mdns);
    } else {
      telemetry::Log(telemetry::Level::kWarning, "going on without multicast DNS",
                     {{"error", std::string(mdns.status().message())}});
    }
    return absl::OkStatus();
  }

  [[nodiscard]] resolver::v1::GetStatusResponse Status() {
    resolver::v1::GetStatusResponse response;
    const std::string peer_id = crypto::PeerIdFromKey(host_->key().public_key());
    response.set_peer_id(peer_id);
    for (const std::string& address : host_->node().addresses())
      response.add_addresses(absl::StrCat(address, "/p2p/", peer_id));
    response.set_known_nodes(static_cast<uint32_t>(dht_->known_nodes()));
    response.set_stored_values(dht_->stored_values());
    response.set_version(Version());
    response.set_name_policy(settings_.registrar_decides ? "registrar" : "first-claim");
    for (const crypto::PublicKey& registrar : settings_.policy.registrars) {
      response.add_registrars(crypto::PeerIdFromKey(registrar));
    }
    response.set_puzzle_static_bits(static_cast<uint32_t>(settings_.puzzle.static_bits));
    response.set_puzzle_dynamic_bits(static_cast<uint32_t>(settings_.puzzle.dynamic_bits));
    return response;
  }

  // The DHT core and the cache know nothing of metrics, so their sizes are read from time to time.
  void UpdateGauges() {
    known_nodes_.Set(static_cast<double>(dht_->known_nodes()));
    stored_values_.Set(static_cast<double>(dht_->stored_values()));
    cached_records_.Set(static_cast<double>(handler_->cached_records()));
    cached_absences_.Set(static_cast<double>(handler_->cached_absences()));
    gauges_timer_.expires_after(kGaugeInterval);
    gauges_timer_.async_wait([this](const asio::error_code& error) {
      if (!error && dht_) UpdateGauges();
    });
  }

  // Destroyed from the last to the first: the host, which all of them use, goes last.
  std::unique_ptr<host::Host> host_;
  NetworkSettings settings_;
  absl::Duration next_warning_ = -absl::InfiniteDuration();
  telemetry::Counter& strangers_ = host_->metrics().AddCounter(
      "dotagent_dht_strangers_total", "Calls to nodes that have other rules, or are no resolvers.");
  telemetry::Gauge& known_nodes_ = host_->metrics().AddGauge("dotagent_dht_known_nodes", "Nodes in the routing table.");
  telemetry::Gauge& stored_values_ =
      host_->metrics().AddGauge("dotagent_dht_stored_values", "Values that this node stores.");
  telemetry::Gauge& cached_records_ = host_->metrics().AddGauge(
      "dotagent_resolver_cached_names", "Names that the cache has an answer for.", {{"kind", "record"}});
  telemetry::Gauge& cached_absences_ = host_->metrics().AddGauge(
      "dotagent_resolver_cached_names", "Names that the cache has an answer for.", {{"kind", "absence"}});
  std::unique_ptr<Pins> pins_;
  std::unique_ptr<host::RevocationFeed> feed_;
  FeedRevocations revocations_;
  std::unique_ptr<p2p::DhtNetwork> network_;
  std::unique_ptr<p2p::NameResolver> names_;
  std::unique_ptr<p2p::DnsNetwork> bootstrap_network_;
  std::unique_ptr<dht::Dht> dht_;
  std::unique_ptr<Handler> handler_;
  std::unique_ptr<Shell> shell_;
  std::unique_ptr<host::Mdns> mdns_;
  asio::steady_timer gauges_timer_;
};

}  // namespace

void Options::AddTo(OptionTable& table) {
  table.Add(
      "bootstrap", &bootstrap,
      "Multiaddr of a node to join through, or a name that stands for several; repeatable; none starts a new network");
  table.Add("mdns", &mdns, "Announce this node to others on the link, and find them, through avahi-daemon");
  table.Add("identity", &identity, "host:port of identity, to learn of revocations at once");
  network.AddTo(table);
  table.AddExample(
      "dotagent-resolver --data-dir /var/lib/dotagent-resolver --p2p-listen /ip4/0.0.0.0/tcp/4001 --bootstrap "
      "/dns/resolver-0/tcp/4001");
}

absl::StatusOr<std::unique_ptr<host::Service>> Start(const Options& options) {
  ASSIGN_OR_RETURN(NetworkSettings settings, CheckNetworkOptions(options.network));
  host::HostOptions host_options = options.host;
  host_options.key_puzzle_bits = settings.puzzle.static_bits;
  ASSIGN_OR_RETURN(auto host, host::Host::Create("resolver", host_options, kSchemaVersion));
  auto server = std::make_unique<ResolverServer>(std::move(host));
  RETURN_IF_ERROR(server->Start(options, std::move(settings)));
  return std::unique_ptr<host::Service>(std::move(server));
}

}  // namespace dotagent::resolver_service
