// A TLS connection to a gateway over which any number of agents prove their keys, told in callbacks: what Drive wants.
#ifndef DOTAGENT_TESTS_BENCH_GATEWAY_LINK_H_
#define DOTAGENT_TESTS_BENCH_GATEWAY_LINK_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate.h"
#include "common/rpc/channel.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"

namespace dotagent::bench {

// Thread-safe. Each call's `done` runs on one of gRPC's threads.
class GatewayLink {
 public:
  // `address`: host:port.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<GatewayLink>> Connect(const std::string& address);

  // Challenge and Authenticate, mutual, as the SDK does them. `key` must live until `done(token)`.
  void Authenticate(const crypto::SigningKey& key, std::function<void(absl::StatusOr<std::string>)> done);

  [[nodiscard]] gateway::v1::GatewayService::Stub& stub() { return *stub_; }

 private:
  struct Proof;
  GatewayLink(std::unique_ptr<rpc::Channel> channel, identity::PeerCertificate server)
      : channel_(std::move(channel)),
        server_(std::move(server)),
        stub_(gateway::v1::GatewayService::NewStub(channel_->grpc())) {}
  void Answer(const std::shared_ptr<Proof>& proof);

  const std::unique_ptr<rpc::Channel> channel_;
  const identity::PeerCertificate server_;
  const std::unique_ptr<gateway::v1::GatewayService::Stub> stub_;
  SystemRandom random_;
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_GATEWAY_LINK_H_
