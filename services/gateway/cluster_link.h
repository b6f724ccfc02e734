// From one gateway of a cluster to another (protos/dotagent/cluster/v1), and the proof that they belong together.
//
// Members share a secret. Each call carries HMAC-SHA-256 over the caller's key and the receiver's, and each answer the
// same the other way; both keys are proved by the session underneath. So a proof is worth nothing to anybody but the
// one whose key it names, at the one whom it names.
//
// Defends against strangers who say that they are members: to be handed inboxes, whose messages gateways can read, or
// to put messages into them; also if they control the DNS, or the addresses that a member once had. Not against who has
// the secret, and not against a member: each can read what its cluster's inboxes hold.
#ifndef DOTAGENT_SERVICES_GATEWAY_CLUSTER_LINK_H_
#define DOTAGENT_SERVICES_GATEWAY_CLUSTER_LINK_H_

#include <asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/crypto/secret.h"
#include "common/p2p/node.h"
#include "common/session/types.h"
#include "dotagent/cluster/v1/cluster.pb.h"
#include "services/gateway/pipe.h"

namespace dotagent::gateway_service {

inline constexpr char kClusterProtocol[] = "/dotagent/cluster/1.0.0";
inline constexpr char kClusterRelayProtocol[] = "/dotagent/cluster-relay/1.0.0";
inline constexpr size_t kMinClusterSecret = 32;  // bytes

class ClusterSecret {
 public:
  // From a file that only its owner, or root and a group (a Kubernetes secret), may read; white space at its end does
  // not count. InvalidArgument (BAD_KEY) if it is shorter than kMinClusterSecret; otherwise as ReadPrivateFile.
  [[nodiscard]] static absl::StatusOr<ClusterSecret> Read(const std::string& path);
  explicit ClusterSecret(crypto::SecretBytes secret) : secret_(std::move(secret)) {}

  // 32 bytes: that `prover` belongs to the cluster, for `verifier`.
  [[nodiscard]] std::string Prove(const crypto::PublicKey& prover, const crypto::PublicKey& verifier) const;
  // PermissionDenied (NOT_AUTHENTICATED).
  [[nodiscard]] absl::Status Check(absl::string_view proof, const crypto::PublicKey& prover,
                                   const crypto::PublicKey& verifier) const;

 private:
  crypto::SecretBytes secret_;
};

// On the loop; callbacks never from inside the call.
class ClusterLink {
 public:
  using Answered = std::function<void(absl::StatusOr<cluster::v1::ClusterAnswer>)>;
  struct CallOptions {
    absl::Duration timeout;
    session::Priority level = session::Priority::kNormal;  // of the stream, there and back
  };
  virtual ~ClusterLink() = default;

  // The key of whoever answers at an address: not yet a member.
  virtual void Identify(const p2p::Multiaddr& address, std::function<void(absl::StatusOr<crypto::PublicKey>)> done) = 0;
  // `call` without its proof. What comes is a member's answer, and OK; or its refusal.
  virtual void Call(const p2p::PeerAddress& member, cluster::v1::ClusterCall call, const CallOptions& options,
                    Answered done) = 0;
  // `open` without its proof. The pipe then carries RelayUps and RelayDowns.
  virtual void OpenRelay(const p2p::PeerAddress& member, cluster::v1::RelayOpen open,
                         std::function<void(absl::StatusOr<std::shared_ptr<Pipe>>)> done) = 0;
};

// What members ask of this one; `member` has proved to be one.
struct ClusterHandlers {
  std::function<void(const crypto::PublicKey& member, const cluster::v1::ClusterCall& call,
                     ClusterLink::Answered answer)>
      call;
  std::function<void(const crypto::PublicKey& member, const cluster::v1::RelayOpen& open, std::shared_ptr<Pipe>)> relay;
};

// All must outlive it.
[[nodiscard]] std::unique_ptr<ClusterLink> NewNodeClusterLink(p2p::Node& node, const ClusterSecret& secret);

// Answers both protocols on the node's port. All must outlive the node's sessions.
void ServeCluster(const asio::any_io_executor& executor, p2p::Node& node, const ClusterSecret& secret,
                  ClusterHandlers handlers);

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_CLUSTER_LINK_H_
