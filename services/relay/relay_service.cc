#include "services/relay/relay_service.h"

#include <asio/steady_timer.hpp>
#include <chrono>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "services/host/revocation_feed.h"
#include "services/relay/control_stream.h"
#include "services/relay/relay.h"
#include "services/relay/shell.h"

namespace dotagent::relay_service {
namespace {

constexpr uint32_t kSchemaVersion = 1;
constexpr std::chrono::seconds kTick{1};

Limits LimitsFrom(const Options& options) {
  return {.max_reservations = options.max_reservations,
          .reservation_lifetime = options.reservation_lifetime,
          .circuits = {.max_circuits = options.max_circuits, .max_per_peer = options.max_circuits_per_peer},
          .circuit = {.max_bytes = options.max_circuit_bytes, .max_time = options.max_circuit_duration}};
}

class RelayServer : public host::Service {
 public:
  explicit RelayServer(std::unique_ptr<host::Host> host) : host_(std::move(host)), tick_(host_->loop().executor()) {}

  ~RelayServer() override {
    const auto idle = std::make_shared<absl::Notification>();
    host_->loop().Run([this, idle] {
      if (!relay_) return idle->Notify();
      relay_->Drain([idle] { idle->Notify(); });
    });
    host_->Drain([&idle](absl::Duration left) { idle->WaitForNotificationWithTimeout(left); });
    host_->loop().Run([this] {
      tick_.cancel();
      stopping_ = true;
    });
    feed_.reset();  // needs a running loop
    // From here on no callback can find a part of the relay gone.
    host_->loop().Stop();
  }

  [[nodiscard]] absl::Status Start(const Options& options) {
    if (!options.tap.empty()) {
      tap_.open(options.tap, std::ios::binary | std::ios::app);
      if (!tap_) {
        return ErrorWithReason(
            absl::StatusCode::kUnavailable, reason::kStorage,
            absl::StrCat("cannot append to the --tap file ", options.tap, "; give a path that can be written"));
      }
    }
    ASSIGN_OR_RETURN(feed_,
                     host::RevocationFeed::Create(*host_, options.identity,
                                                  [this](const identity::Revocation& revocation, const std::string&) {
                                                    OnRevoked(revocation.public_key);
                                                  }));
    host_->loop().Run([&] { BuildRelay(options); });
    shell_ = std::make_unique<Shell>(
        *relay_, [this] { return Status(); }, host_->entrance(), host_->clock());
    return host_->Serve({shell_.get()});
  }

  [[nodiscard]] host::Host& host() override { return *host_; }

 private:
  void BuildRelay(const Options& options) {
    relay_ = std::make_unique<Relay>(
        Relay::Parts{.limits = LimitsFrom(options),
                     .is_revoked = [this](const crypto::PublicKey& key) { return stopping_ || feed_->IsRevoked(key); },
                     .tap = [this](absl::string_view bytes) { Tap(bytes); },
                     .clock = host_->clock(),
                     .random = host_->random(),
                     .metrics = host_->metrics()});
    ServeControl(host_->loop().executor(), host_->node(), *relay_);
    host_->node().ServeCircuits(
        [this](p2p::CircuitSocket socket, const std::string& voucher) { relay_->Claim(std::move(socket), voucher); });
    Tick();
  }

  void OnRevoked(const crypto::PublicKey& key) {
    if (stopping_) return;
    if (relay_) relay_->OnRevoked(key);
  }

  void Tap(absl::string_view bytes) {
    if (!tap_.is_open()) return;
    tap_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    tap_.flush();
  }

  [[nodiscard]] relay::v1::GetStatusResponse Status() {
    relay::v1::GetStatusResponse status;
    const std::string peer_id = crypto::PeerIdFromKey(host_->key().public_key());
    status.set_peer_id(peer_id);
    for (const std::string& address : host_->node().addresses()) {
      status.add_addresses(absl::StrCat(address, "/p2p/", peer_id));
    }
    status.set_reservations(static_cast<uint32_t>(relay_->reservations()));
    status.set_circuits(static_cast<uint32_t>(relay_->circuits()));
    status.set_relayed_bytes(relay_->relayed_bytes());
    status.set_version(Version());
    return status;
  }

  void Tick() {
    relay_->Tick();
    tick_.expires_after(kTick);
    tick_.async_wait([this](const asio::error_code& error) {
      if (!error && !stopping_) Tick();
    });
  }

  // Destroyed from the last to the first: the host, which all of them use, goes last.
  std::unique_ptr<host::Host> host_;
  std::ofstream tap_;
  std::unique_ptr<host::RevocationFeed> feed_;
  std::unique_ptr<Relay> relay_;
  std::unique_ptr<Shell> shell_;
  asio::steady_timer tick_;
  bool stopping_ = false;  // on the loop
};

}  // namespace

void Options::AddTo(OptionTable& table) {
  table.Add("max-reservations", &max_reservations, "Reservations held at once");
  table.Add("reservation-lifetime", &reservation_lifetime, "How long a reservation lasts unless renewed");
  table.Add("max-circuits", &max_circuits, "Circuits open at once");
  table.Add("max-circuits-per-peer", &max_circuits_per_peer, "Circuits open at once to and from one node");
  table.Add("max-circuit-bytes", &max_circuit_bytes, "Bytes that one circuit may carry, both directions together");
  table.Add("max-circuit-duration", &max_circuit_duration, "How long one circuit may stay open");
  table.Add("identity", &identity, "host:port of identity, to learn of revocations at once");
  table.Add("tap", &tap, "File to which a copy of every byte that circuits carry is appended");
  table.AddExample("dotagent-relay --data-dir /var/lib/dotagent-relay --p2p-listen /ip4/0.0.0.0/tcp/4001");
}

absl::StatusOr<std::unique_ptr<host::Service>> Start(const Options& options) {
  ASSIGN_OR_RETURN(auto host, host::Host::Create("relay", options.host, kSchemaVersion));
  auto server = std::make_unique<RelayServer>(std::move(host));
  RETURN_IF_ERROR(server->Start(options));
  return std::unique_ptr<host::Service>(std::move(server));
}

}  // namespace dotagent::relay_service
