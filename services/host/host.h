// What every service stands on: its key, its loop, its public port, its data, its metrics, its gRPC server, its life
// from start to drain.
//
// A service is then a handler (its logic, on the loop), a shell (its gRPC methods), and a Start that puts them on a
// Host:
//
//   ASSIGN_OR_RETURN(auto host, Host::Create("resolver", options));   // key, certificate, data, loop, public port,
//   metrics … make the handler on host->loop(), the shell … RETURN_IF_ERROR(host->Serve({&shell})); // gRPC and HTTP
//   ports; ready … host->Drain();   // NOT_SERVING → finish → cancel the rest → close; needs the running loop
//   host->loop().Stop();            // from here on no callback can find a part of the service gone
#ifndef DOTAGENT_SERVICES_HOST_HOST_H_
#define DOTAGENT_SERVICES_HOST_HOST_H_

#include <grpcpp/impl/codegen/service_type.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/config.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate.h"
#include "common/p2p/loop.h"
#include "common/p2p/node.h"
#include "common/rpc/call.h"
#include "common/rpc/channel.h"
#include "common/storage/store.h"
#include "common/telemetry/http_endpoint.h"
#include "common/telemetry/metrics.h"
#include "services/host/power.h"
#include "services/host/profile.h"

namespace dotagent::host {

// Options that every service has; AddTo gives each a flag, a DOTAGENT_* variable and a TOML key.
struct HostOptions {
  std::string data_dir = "./data";                  // --data-dir: key, RocksDB, roots
  std::string key_file;                             // --key-file: a key address; empty: data_dir/node.pem
  std::string grpc_listen = "127.0.0.1:0";          // --grpc-listen
  std::string p2p_listen = "/ip4/127.0.0.1/tcp/0";  // --p2p-listen; empty: dials only
  std::vector<std::string> p2p_advertise;           // --p2p-advertise
  std::string profile = "standard";  // --profile: edge, standard or server; what is 0 below is the profile's
  double battery_factor = 4;         // --battery-factor
  uint64_t p2p_max_connections = 0;  // --p2p-max-connections
  uint64_t p2p_max_connections_per_address = 0;    // --p2p-max-connections-per-address
  uint64_t p2p_max_handshakes = 0;                 // --p2p-max-handshakes
  uint64_t p2p_max_handshakes_per_address = 0;     // --p2p-max-handshakes-per-address
  p2p::NewcomerLimits newcomers;                   // --p2p-connect-rate, -connect-burst, -newcomer-share
  uint64_t p2p_cookie_bits = 18;                   // --p2p-cookie-bits
  std::vector<std::string> tls_hosts;              // --tls-host: further names for the certificate
  std::string http_listen = "127.0.0.1:0";         // --http-listen: /metrics, /livez, /readyz
  absl::Duration drain_grace = absl::Seconds(10);  // --drain-grace
  std::string ready_file;  // --ready-file: once serving, a JSON object {"peer_id", "grpc", "p2p": […], "http"} is
                           // written here, atomically
  std::string log_level = "info";   // --log-level
  std::string log_format = "json";  // --log-format: json or text

  // Not an option of every service: the key must solve the DHT's static puzzle of so many bits (node_key.h).
  int key_puzzle_bits = 0;
  // Nor this: where the system tells of its power supplies (power.h).
  std::string power_folder = kPowerFolder;

  void AddTo(OptionTable& table);
};

class Host {
 public:
  // `service`: "resolver", "identity", "relay" or "gateway"; `schema_version`: of what it keeps in RocksDB.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Host>> Create(const std::string& service,
                                                                    const HostOptions& options,
                                                                    uint32_t schema_version);
  // Drains and stops.
  ~Host();

  [[nodiscard]] p2p::Loop& loop();
  // Runs work on the loop, later.
  [[nodiscard]] rpc::Executor executor();
  // The same for the methods of a shell: at once, if nothing else runs there (loop.h, Enter).
  [[nodiscard]] rpc::Executor entrance();
  [[nodiscard]] p2p::Node& node();  // on the loop only
  [[nodiscard]] const Profile& profile() const;
  // By how much to stretch the intervals of what only this node has a use for (power.h). From any thread.
  [[nodiscard]] double stretch() const;
  [[nodiscard]] const crypto::Signer& key() const;
  [[nodiscard]] const identity::NodeCertificate& certificate() const;
  [[nodiscard]] storage::Store& store();
  [[nodiscard]] telemetry::Metrics& metrics();
  [[nodiscard]] const Clock& clock() const;
  [[nodiscard]] Random& random();  // thread-safe

  // A channel to another service, showing this node's certificate.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<rpc::Channel>> Dial(const std::string& target);

  // Opens the gRPC and HTTP ports, reports ready. `services`, and what `pages` use, must outlive the host's drain.
  [[nodiscard]] absl::Status Serve(const std::vector<grpc::Service*>& services, telemetry::JsonPages pages = {});

  // Multiaddrs of the public port with /p2p/.
  [[nodiscard]] std::vector<std::string> p2p_addresses();
  [[nodiscard]] std::string grpc_address() const;  // "127.0.0.1:7443"
  [[nodiscard]] std::string http_address() const;

  // Stops taking work, lets what runs finish within the grace, cancels the rest, closes the public port. Idempotent.
  // Handlers are still alive and are destroyed after. Not from the loop, which must still run: calls end there. So a
  // service drains first and stops its loop after.
  //
  // `finish` waits for work of the service's own that is no gRPC call: it is called once, when those have ended, with
  // the time that is left.
  void Drain(const std::function<void(absl::Duration left)>& finish = nullptr);

 private:
  Host();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A running service, as main() and `dotagent up` hold one. The destructor drains.
class Service {
 public:
  virtual ~Service() = default;
  [[nodiscard]] virtual Host& host() = 0;
};

// main() of a service: parses options (`add` puts the service's own in the table), starts it, waits for SIGTERM or
// SIGINT, drains. Exit status 0 after a clean drain, 1 if it could not start (one line on standard error), 2 for wrong
// usage.
int RunService(int argc, char** argv, const std::string& service, const std::string& description, HostOptions& options,
               const std::function<void(OptionTable&)>& add,
               const std::function<absl::StatusOr<std::unique_ptr<Service>>()>& start);

}  // namespace dotagent::host

#endif  // DOTAGENT_SERVICES_HOST_HOST_H_
