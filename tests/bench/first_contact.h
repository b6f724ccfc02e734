// Speaking to a node for the first time: dial, handshake, one FindNode; beside a new gRPC connection with mutual TLS
// and one call.
#ifndef DOTAGENT_TESTS_BENCH_FIRST_CONTACT_H_
#define DOTAGENT_TESTS_BENCH_FIRST_CONTACT_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/identity/certificate.h"

namespace dotagent::bench {

class FirstContact {
 public:
  // `node`: multiaddr with /p2p/ of a DHT node. Its public port is called from a node of our own.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<FirstContact>> Create(const std::string& node);
  ~FirstContact();
  // Microseconds of each of `count` first contacts, one after the other; the session before is closed first, untimed.
  [[nodiscard]] absl::StatusOr<std::vector<double>> Measure(size_t count);

 private:
  FirstContact();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The same of gRPC: `address` host:port of a server that speaks dotagent.resolver.v1, asked for `name`. Credentials are
// made once; neither side checks the other's certificate beyond what TLS itself does.
[[nodiscard]] absl::StatusOr<std::vector<double>> MeasureGrpcContacts(const std::string& address,
                                                                      const identity::NodeCertificate& certificate,
                                                                      const std::string& name, size_t count);

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_FIRST_CONTACT_H_
