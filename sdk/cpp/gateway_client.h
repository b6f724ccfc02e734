// An authenticated connection to a gateway: dials, agrees on what to speak, proves the agent's key, checks the
// gateway's, renews the token when it has lapsed.
#ifndef DOTAGENT_SDK_CPP_GATEWAY_CLIENT_H_
#define DOTAGENT_SDK_CPP_GATEWAY_CLIENT_H_

#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/rpc/channel.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"

namespace dotagent::sdk {

struct GatewayOptions {
  std::string gateway;                         // "host:port" or "PEER_ID@host:port"
  std::string known_nodes;                     // file that remembers gateways' keys; empty: this process's memory only
  bool plaintext = false;                      // no TLS: a sidecar on loopback
  absl::Duration timeout = absl::Seconds(30);  // a call
  // How long a wait for messages may keep a core busy before it sleeps, where they follow each other as closely
  // (rpc/adaptive_spin.h): a reply comes a fifth sooner. Zero: never, as for agents on battery.
  absl::Duration spin = absl::Milliseconds(2);
};

// Thread-safe.
class GatewayClient {
 public:
  // Connects, negotiates and authenticates. Unavailable (UNREACHABLE), FailedPrecondition (VERSION) if the gateway
  // speaks no version of the protocol that this does, Unauthenticated, or PermissionDenied (KEY_REVOKED).
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<GatewayClient>> Connect(
      const GatewayOptions& options, std::shared_ptr<const crypto::Signer> key);

  // Runs `call` with a context that carries the token and a deadline; once more with a new token if the gateway no
  // longer knows the old one.
  [[nodiscard]] absl::Status Run(const std::function<grpc::Status(grpc::ClientContext&)>& call) {
    return Run(call, options_.timeout);
  }
  [[nodiscard]] absl::Status Run(const std::function<grpc::Status(grpc::ClientContext&)>& call, absl::Duration timeout);

  // Puts the token into the context of a long-lived stream, which has no deadline.
  void Authorize(grpc::ClientContext& context);
  // Makes a new token, as when a stream was refused with Unauthenticated.
  [[nodiscard]] absl::Status Authenticate();

  [[nodiscard]] gateway::v1::GatewayService::Stub& stub() { return *stub_; }
  [[nodiscard]] const crypto::Signer& key() const { return *key_; }
  // Whom this is: what the gateway proved when it was last authenticated.
  [[nodiscard]] crypto::PublicKey gateway_key() const {
    absl::MutexLock lock(&mutex_);
    return gateway_key_;
  }
  [[nodiscard]] const GatewayOptions& options() const { return options_; }
  // What it speaks and takes, as it said when this connected.
  [[nodiscard]] const gateway::v1::NegotiateResponse& spoken() const { return spoken_; }
  // Whether it has `feature`, as docs/protocol.md names it.
  [[nodiscard]] bool Speaks(absl::string_view feature) const;
  // FailedPrecondition (VERSION) unless it does.
  [[nodiscard]] absl::Status Require(const std::string& feature) const;

 private:
  GatewayClient(GatewayOptions options, std::shared_ptr<const crypto::Signer> key)
      : options_(std::move(options)), key_(std::move(key)) {}
  [[nodiscard]] absl::Status Negotiate();

  const GatewayOptions options_;
  const std::shared_ptr<const crypto::Signer> key_;
  std::unique_ptr<rpc::Channel> channel_;
  std::unique_ptr<gateway::v1::GatewayService::Stub> stub_;
  gateway::v1::NegotiateResponse spoken_;  // set by Connect
  mutable absl::Mutex mutex_;
  crypto::PublicKey gateway_key_ ABSL_GUARDED_BY(mutex_);
  std::string token_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_GATEWAY_CLIENT_H_
