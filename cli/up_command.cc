// dotagent up.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/report.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/telemetry/log.h"
#include "services/gateway/gateway_service.h"
#include "services/host/host.h"
#include "services/identity/identity_service.h"
#include "services/relay/relay_service.h"
#include "services/resolver/resolver_service.h"

namespace dotagent::cli {
namespace {

struct UpArguments {
  std::string data_dir;
  uint64_t resolvers = 3;
  uint64_t gateways = 2;
  uint64_t port = 7443;
  std::string log_level = "warning";
  std::string name_policy = "first-claim";
};

// Ports that are free now. All are held until the last is found, so that they differ.
absl::StatusOr<std::vector<uint16_t>> FreePorts(size_t count) {
  std::vector<int> sockets;
  std::vector<uint16_t> ports;
  for (size_t i = 0; i < count; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) break;
    sockets.push_back(fd);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      break;
    ports.push_back(ntohs(address.sin_port));
  }
  for (const int fd : sockets) close(fd);
  if (ports.size() != count) return absl::UnavailableError("no free ports on loopback");
  return ports;
}

std::string DefaultDataDir() {
  if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr && *data != '\0')
    return absl::StrCat(data, "/dotagent");
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return absl::StrCat(home, "/.local/share/dotagent");
  return "dotagent-data";
}

// What makes `dotagent` in a shell mean this very program; empty if it does already.
std::string PathLine() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return "";
  const char* path = std::getenv("PATH");
  for (const auto folder : absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty())) {
    const std::filesystem::path found = std::filesystem::path(std::string(folder)) / "dotagent";
    if (!std::filesystem::exists(found, error)) continue;
    if (std::filesystem::equivalent(found, self, error)) return "";
    break;
  }
  return absl::StrCat("  export PATH=\"", self.parent_path().string(), ":$PATH\"\n");
}

// A whole network in this process. What starts last goes first.
class LocalNetwork {
 public:
  explicit LocalNetwork(const UpArguments& arguments) : arguments_(arguments) {}
  ~LocalNetwork() {
    while (!services_.empty()) services_.pop_back();
  }

  [[nodiscard]] absl::Status Start() {
    RETURN_IF_ERROR(ChoosePorts());
    // Identity first: the others follow its stream of revocations from their start.
    const std::string identity = GrpcAddress(arguments_.gateways);
    const size_t first_resolver = arguments_.gateways + 2;
    RETURN_IF_ERROR(Add("identity", identity_service::Start({.host = HostFor("identity", arguments_.gateways),
                                                             .resolver = GrpcAddress(first_resolver),
                                                             .name_policy = arguments_.name_policy})));
    resolver_service::NetworkOptions network{.name_policy = arguments_.name_policy};
    if (network.name_policy == "registrar") {
      network.registrars = {crypto::PeerIdFromKey(services_.back().service->host().key().public_key())};
    }
    std::vector<std::string> bootstrap;
    for (size_t i = 0; i < arguments_.resolvers; ++i) {
      RETURN_IF_ERROR(
          Add("resolver", resolver_service::Start({.host = HostFor(absl::StrCat("resolver-", i), first_resolver + i),
                                                   .bootstrap = bootstrap,
                                                   .identity = identity,
                                                   .network = network})));
      if (bootstrap.empty()) bootstrap = services_.back().service->host().p2p_addresses();
    }
    relay_service::Options relay;
    relay.host = HostFor("relay", arguments_.gateways + 1);
    relay.identity = identity;
    RETURN_IF_ERROR(Add("relay", relay_service::Start(relay)));
    const std::vector<std::string> relays = services_.back().service->host().p2p_addresses();
    for (size_t i = 0; i < arguments_.gateways; ++i) {
      gateway_service::Options options;
      options.host = HostFor(absl::StrCat("gateway-", i), i);
      options.resolver = GrpcAddress(first_resolver + i % arguments_.resolvers);
      options.identity = identity;
      options.relays = relays;
      RETURN_IF_ERROR(Add("gateway", gateway_service::Start(options)));
    }
    return absl::OkStatus();
  }

  void Show(bool json) const {
    std::vector<std::vector<std::string>> table = {{"SERVICE", "GRPC", "METRICS", "PUBLIC PORT"}};
    auto list = nlohmann::ordered_json::array();
    std::vector<std::string> gateways;
    std::string identity;
    for (const Running& running : services_) {
      host::Host& host = running.service->host();
      const std::vector<std::string> p2p = host.p2p_addresses();
      table.push_back({running.name, host.grpc_address(), absl::StrCat("http://", host.http_address(), "/metrics"),
                       p2p.empty() ? "" : p2p.front()});
      list.push_back(
          {{"service", running.name}, {"grpc", host.grpc_address()}, {"http", host.http_address()}, {"p2p", p2p}});
      if (running.name == "gateway") gateways.push_back(host.grpc_address());
      if (running.name == "identity") identity = host.grpc_address();
    }
    if (json) {
      Report report;
      report.Add("services", "", std::move(list));
      report.Print(true);
      return;
    }
    std::fputs(FormatTable(table).c_str(), stdout);
    std::printf(
        "\nThe network is up; Ctrl-C ends it. In another terminal:\n\n%s"
        "  export DOTAGENT_GATEWAY=%s DOTAGENT_IDENTITY=%s\n"
        "  dotagent keygen alice.pem && dotagent register --name alice.agent --key alice.pem\n"
        "  dotagent keygen bob.pem   && dotagent register --name bob.agent   --key bob.pem\n"
        "  dotagent listen --name bob.agent --key bob.pem --channels echo &\n"
        "  dotagent send bob.agent 'hello Bob' --name alice.agent --key alice.pem\n"
        "  echo 'hello in private' | dotagent channel bob.agent --name alice.agent --key alice.pem\n",
        PathLine().c_str(), gateways.front().c_str(), identity.c_str());
    std::fflush(stdout);
  }

 private:
  struct Running {
    std::string name;
    std::unique_ptr<host::Service> service;
  };

  // Three ports a service, in the order gateways, identity, relay, resolvers: gRPC, public, HTTP. From --port on they
  // are the same after a restart, which keeps the addresses in published records true.
  absl::Status ChoosePorts() {
    const size_t services = arguments_.gateways + 2 + arguments_.resolvers;
    if (arguments_.port == 0) {
      ASSIGN_OR_RETURN(ports_, FreePorts(3 * services));
      return absl::OkStatus();
    }
    for (size_t range = 0; range < 3; ++range) {
      for (size_t i = 0; i < services; ++i) ports_.push_back(static_cast<uint16_t>(arguments_.port + 100 * range + i));
    }
    return absl::OkStatus();
  }
  [[nodiscard]] uint16_t Port(size_t range, size_t service) const {
    return ports_[range * (ports_.size() / 3) + service];
  }
  [[nodiscard]] std::string GrpcAddress(size_t service) const { return absl::StrCat("127.0.0.1:", Port(0, service)); }

  [[nodiscard]] host::HostOptions HostFor(const std::string& folder, size_t service) const {
    host::HostOptions options;
    options.data_dir = absl::StrCat(arguments_.data_dir, "/", folder);
    options.grpc_listen = GrpcAddress(service);
    options.p2p_listen = folder == "identity" ? "" : absl::StrCat("/ip4/127.0.0.1/tcp/", Port(1, service));
    options.http_listen = absl::StrCat("127.0.0.1:", Port(2, service));
    options.drain_grace = absl::Seconds(1);
    return options;
  }

  absl::Status Add(const std::string& name, absl::StatusOr<std::unique_ptr<host::Service>> service) {
    RETURN_IF_ERROR(WithContext(service.status(), absl::StrCat("cannot start ", name)));
    services_.push_back({name, *std::move(service)});
    return absl::OkStatus();
  }

  const UpArguments arguments_;
  std::vector<uint16_t> ports_;
  std::vector<Running> services_;
};

absl::StatusOr<int> Up(const Globals& globals, UpArguments arguments) {
  if (arguments.data_dir.empty()) arguments.data_dir = DefaultDataDir();
  ASSIGN_OR_RETURN(const telemetry::Level level, telemetry::ParseLevel(arguments.log_level));
  telemetry::InitLog({.service = "up", .level = level, .format = telemetry::LogFormat::kText});

  // Blocked before there are threads, so that all of them leave the signals to sigwait.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  LocalNetwork network(arguments);
  RETURN_IF_ERROR(network.Start());
  network.Show(globals.json);
  int received = 0;
  sigwait(&signals, &received);
  if (!globals.json) std::puts("\nstopping");
  return kOk;
}

}  // namespace

void AddUpCommand(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto arguments = std::make_shared<UpArguments>();
  CLI::App* command = AddCommand(&app, "up", "Run a whole network on this machine, in one process",
                                 {"dotagent up", "dotagent up --resolvers 8 --data-dir /tmp/net --port 0"});
  command
      ->add_option("--data-dir", arguments->data_dir, "Where it keeps its data; the default is ~/.local/share/dotagent")
      ->envname("DOTAGENT_DATA_DIR");
  command->add_option("--resolvers", arguments->resolvers, "How many resolvers")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  command->add_option("--gateways", arguments->gateways, "How many gateways")
      ->capture_default_str()
      ->check(CLI::Range(1, 16));
  command->add_option("--port", arguments->port, "The first gateway's port; the others follow. 0 picks free ones")
      ->capture_default_str()
      ->check(CLI::Range(0, 65000));
  command->add_option("--log-level", arguments->log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  command
      ->add_option("--name-policy", arguments->name_policy,
                   "Whose a name is: first-claim, or registrar, whom the network's identity certified")
      ->check(CLI::IsMember({"first-claim", "registrar"}))
      ->capture_default_str();
  command->callback(
      [&globals, &chosen, arguments] { chosen.run = [&globals, arguments] { return Up(globals, *arguments); }; });
}

}  // namespace dotagent::cli
