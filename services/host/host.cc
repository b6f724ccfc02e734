#include "services/host/host.h"

#include <google/protobuf/stubs/logging.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/rpc/server.h"
#include "common/session/cookie.h"
#include "services/host/node_key.h"
#include "services/host/ready_file.h"

namespace dotagent::host {
namespace {

struct HostPort {
  std::string host;
  uint16_t port = 0;
};

absl::StatusOr<HostPort> ParseHostPort(const std::string& text, absl::string_view option) {
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(text.substr(colon + 1), &port) || port > 65535) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadAddress,
                           absl::StrCat("--", option, " '", text, "' is not host:port"));
  }
  return HostPort{text.substr(0, colon), static_cast<uint16_t>(port)};
}

constexpr double kMaxBatteryFactor = 100;

absl::Status MakeDataDir(const std::string& path) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  if (error) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStorage,
                           absl::StrCat("cannot make the data folder ", path, ": ", error.message()));
  }
  // It will hold the node's private key.
  if (made && chmod(path.c_str(), 0700) != 0) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStorage,
                           absl::StrCat("cannot close the data folder ", path, " to others: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

absl::Status OutOfRange(absl::string_view option, absl::string_view range) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kLimit,
                         absl::StrCat("--", option, " has to be ", range));
}

// What an option says, or else the profile.
uint64_t OrElse(uint64_t option, uint64_t of_profile) { return option > 0 ? option : of_profile; }

absl::StatusOr<p2p::NewcomerLimits> CheckNewcomers(const HostOptions& options, const Profile& profile) {
  p2p::NewcomerLimits limits = options.newcomers;
  limits.max_handshakes = OrElse(options.p2p_max_handshakes, profile.max_handshakes);
  limits.max_handshakes_per_address =
      OrElse(options.p2p_max_handshakes_per_address, profile.max_handshakes_per_address);
  if (limits.share <= 0 || limits.share > 1) return OutOfRange("p2p-newcomer-share", "above 0, and at most 1");
  if (limits.connections_per_second < 0) return OutOfRange("p2p-connect-rate", "0 or more");
  if (limits.connection_burst < 1) return OutOfRange("p2p-connect-burst", "1 or more");
  if (options.p2p_cookie_bits > session::kMaxCookieBits) {
    return OutOfRange("p2p-cookie-bits", absl::StrCat("at most ", session::kMaxCookieBits));
  }
  limits.max_cookie_bits = static_cast<int>(options.p2p_cookie_bits);
  return limits;
}

}  // namespace

struct Host::Impl {
  Impl(std::string service_name, HostOptions host_options)
      : service(std::move(service_name)), options(std::move(host_options)), metrics({{"service", service}}) {}

  // The order is that of dependence: what is declared first is destroyed last.
  const std::string service;
  const HostOptions options;
  SystemClock clock;
  SystemRandom random;
  telemetry::Metrics metrics;
  Profile profile;
  std::shared_ptr<const crypto::Signer> key;
  identity::NodeCertificate certificate;
  std::unique_ptr<storage::Store> store;
  const std::shared_ptr<p2p::Loop> loop = std::make_shared<p2p::Loop>();
  std::unique_ptr<PowerWatch> power;
  std::unique_ptr<p2p::Node> node;  // on the loop only
  std::atomic<bool> serving = false;
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<telemetry::HttpEndpoint> http;
  std::string http_host;
  std::string grpc_host;
  bool drained = false;
};

void HostOptions::AddTo(OptionTable& table) {
  table.Add("data-dir", &data_dir, "Folder for the key and the data; made if missing");
  table.Add(
      "key-file", &key_file,
      "The node's private key: a PEM file, pkcs11:… (RFC 7512) or tpm2:FILE; made at the first start. The default is "
      "node.pem in the data folder");
  table.Add("grpc-listen", &grpc_listen, "host:port for gRPC; port 0 picks a free one");
  table.Add("p2p-listen", &p2p_listen, "Multiaddr of the public port; empty dials only");
  table.Add("p2p-advertise", &p2p_advertise,
            "Multiaddr under which others reach the public port, if not the one above; repeatable");
  table.Add(
      "profile", &profile,
      "edge, standard or server: windows, caches, connections and upkeep for a small machine, a usual one, or one "
      "with many peers");
  table.Add("battery-factor", &battery_factor,
            "On a battery, how many times longer a node waits before it looks around in what nobody asked for; 1 or "
            "more");
  table.Add("p2p-max-connections", &p2p_max_connections,
            "Connections of others to the public port; 0: as many as the profile says");
  table.Add("p2p-max-connections-per-address", &p2p_max_connections_per_address,
            "The same for one IPv4 address or IPv6 /64; 0: as many as the profile says");
  table.Add("p2p-max-handshakes", &p2p_max_handshakes,
            "Handshakes of others that may be under way; 0: as many as the profile says");
  table.Add("p2p-max-handshakes-per-address", &p2p_max_handshakes_per_address,
            "The same for one address; 0: as many as the profile says");
  table.Add("p2p-connect-rate", &newcomers.connections_per_second,
            "New connections a second of one address, once the burst is used up; 0: any number");
  table.Add("p2p-connect-burst", &newcomers.connection_burst, "New connections of one address at once");
  table.Add("p2p-newcomer-share", &newcomers.share,
            "Share of the loop's time for connections whose handshake is not over; above 0, at most 1");
  table.Add("p2p-cookie-bits", &p2p_cookie_bits,
            "Bits of work asked of diallers under load at most, and done for others; 0: none");
  table.Add("tls-host", &tls_hosts, "Further DNS name or IP address for the TLS certificate; repeatable");
  table.Add("http-listen", &http_listen, "host:port for /metrics, /livez and /readyz");
  table.Add("drain-grace", &drain_grace, "How long calls may go on after SIGTERM");
  table.Add("ready-file", &ready_file, "Once serving, write the addresses here as JSON");
  table.Add("log-level", &log_level, "debug, info, warning or error");
  table.Add("log-format", &log_format, "json or text");
}

Host::Host() = default;

absl::StatusOr<std::unique_ptr<Host>> Host::Create(const std::string& service, const HostOptions& options,
                                                   uint32_t schema_version) {
  // Strangers' messages that do not parse are refused and counted; protobuf would also print them to standard error.
  google::protobuf::SetLogHandler(nullptr);
  std::unique_ptr<Host> host(new Host());
  host->impl_ = std::make_unique<Impl>(service, options);
  Impl& impl = *host->impl_;

  ASSIGN_OR_RETURN(impl.profile, FindProfile(options.profile));
  ASSIGN_OR_RETURN(const p2p::NewcomerLimits newcomers, CheckNewcomers(options, impl.profile));
  if (options.battery_factor < 1 || options.battery_factor > kMaxBatteryFactor) {
    return OutOfRange("battery-factor", absl::StrCat("1 to ", kMaxBatteryFactor));
  }
  RETURN_IF_ERROR(MakeDataDir(options.data_dir));
  const std::string key_file =
      options.key_file.empty() ? absl::StrCat(options.data_dir, "/node.pem") : options.key_file;
  ASSIGN_OR_RETURN(impl.key, ReadOrMakeNodeKey(key_file, options.key_puzzle_bits, impl.random, impl.clock));
  ASSIGN_OR_RETURN(impl.certificate, identity::MakeNodeCertificate(*impl.key, options.tls_hosts, impl.clock.Now()));
  ASSIGN_OR_RETURN(impl.store, storage::OpenRocksDb(
                                   {.path = absl::StrCat(options.data_dir, "/db"), .schema_version = schema_version}));

  p2p::NodeOptions node_options;
  node_options.key = impl.key.get();
  node_options.random = &impl.random;
  node_options.clock = &impl.clock;
  node_options.metrics = &impl.metrics;
  node_options.listen = options.p2p_listen;
  node_options.advertise = options.p2p_advertise;
  node_options.max_connections = OrElse(options.p2p_max_connections, impl.profile.max_connections);
  node_options.max_connections_per_address =
      OrElse(options.p2p_max_connections_per_address, impl.profile.max_connections_per_address);
  node_options.idle_timeout = impl.profile.session_idle_timeout;
  node_options.windows = impl.profile.windows;
  node_options.newcomers = newcomers;
  const absl::Status listening = impl.loop->Run([&] {
    impl.power =
        std::make_unique<PowerWatch>(impl.loop->executor(), impl.metrics, options.power_folder, options.battery_factor);
    impl.node = std::make_unique<p2p::Node>(impl.loop->executor(), std::move(node_options));
    return options.p2p_listen.empty() ? absl::OkStatus() : impl.node->Listen();
  });
  RETURN_IF_ERROR(listening);
  return host;
}

Host::~Host() {
  Drain();
  impl_->loop->Stop();
}

p2p::Loop& Host::loop() { return *impl_->loop; }

rpc::Executor Host::entrance() {
  return [loop = impl_->loop](std::function<void()> work) { loop->Enter(std::move(work)); };
}

rpc::Executor Host::executor() {
  // Shared: an answer from the network may come when the host is gone, and then waits in a loop that runs no more.
  return [loop = impl_->loop](std::function<void()> work) { loop->Post(std::move(work)); };
}

p2p::Node& Host::node() { return *impl_->node; }
const Profile& Host::profile() const { return impl_->profile; }
double Host::stretch() const { return impl_->power->stretch(); }
const crypto::Signer& Host::key() const { return *impl_->key; }
const identity::NodeCertificate& Host::certificate() const { return impl_->certificate; }
storage::Store& Host::store() { return *impl_->store; }
telemetry::Metrics& Host::metrics() { return impl_->metrics; }
const Clock& Host::clock() const { return impl_->clock; }
Random& Host::random() { return impl_->random; }

absl::StatusOr<std::unique_ptr<rpc::Channel>> Host::Dial(const std::string& target) {
  return rpc::NewChannel(target, {.certificate = &impl_->certificate,
                                  .known_nodes = absl::StrCat(impl_->options.data_dir, "/known_nodes")});
}

absl::Status Host::Serve(const std::vector<grpc::Service*>& services, telemetry::JsonPages pages) {
  ASSIGN_OR_RETURN(const HostPort grpc_listen, ParseHostPort(impl_->options.grpc_listen, "grpc-listen"));
  ASSIGN_OR_RETURN(const HostPort http_listen, ParseHostPort(impl_->options.http_listen, "http-listen"));
  impl_->grpc_host = grpc_listen.host;
  impl_->http_host = http_listen.host;
  ASSIGN_OR_RETURN(impl_->http, telemetry::StartHttpEndpoint(
                                    http_listen.host, http_listen.port, impl_->metrics,
                                    [serving = &impl_->serving] { return serving->load(); }, std::move(pages)));
  ASSIGN_OR_RETURN(
      impl_->server,
      rpc::Server::Start({.listen = impl_->options.grpc_listen, .certificate = &impl_->certificate}, services));
  impl_->server->SetServing(true);
  impl_->serving = true;
  if (impl_->options.ready_file.empty()) return absl::OkStatus();
  return WriteReadyFile(impl_->options.ready_file, {.peer_id = crypto::PeerIdFromKey(impl_->key->public_key()),
                                                    .grpc = grpc_address(),
                                                    .http = http_address(),
                                                    .p2p = p2p_addresses()});
}

std::vector<std::string> Host::p2p_addresses() {
  if (impl_->options.p2p_listen.empty()) return {};
  std::vector<std::string> addresses = impl_->loop->Run([this] { return impl_->node->addresses(); });
  const std::string suffix = absl::StrCat("/p2p/", crypto::PeerIdFromKey(impl_->key->public_key()));
  for (std::string& address : addresses) address += suffix;
  return addresses;
}

std::string Host::grpc_address() const {
  return absl::StrCat(impl_->grpc_host, ":", impl_->server ? impl_->server->port() : 0);
}
std::string Host::http_address() const {
  return absl::StrCat(impl_->http_host, ":", impl_->http ? impl_->http->port() : 0);
}

void Host::Drain(const std::function<void(absl::Duration)>& finish) {
  if (std::exchange(impl_->drained, true)) return;
  impl_->serving = false;
  const absl::Duration began = impl_->clock.Elapsed();
  if (impl_->server) impl_->server->Drain(impl_->options.drain_grace);
  const absl::Duration left = impl_->options.drain_grace - (impl_->clock.Elapsed() - began);
  if (finish) finish(std::max(left, absl::ZeroDuration()));
  impl_->http.reset();
  // Closed, not destroyed: the handlers that hold it are still there.
  impl_->loop->Run([this] {
    if (impl_->node) impl_->node->Close();
    if (impl_->power) impl_->power->Stop();
  });
}

}  // namespace dotagent::host
