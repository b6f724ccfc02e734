// Follows identity's stream of revocations from a cursor that it keeps on disk, for as long as the service lives:
// reconnects with growing pauses, and misses none. A node whose key is revoked has no session with this host from then
// on: those that stand end, and it is not taken in again (p2p/node.h, SetPeerCheck).
//
// Nobody holds the stream up: identity has judged the dates by its clock, and this node's, which may be behind, does
// not judge them again; what does not verify is counted and passed over.
#ifndef DOTAGENT_SERVICES_HOST_REVOCATION_FEED_H_
#define DOTAGENT_SERVICES_HOST_REVOCATION_FEED_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/capability/token_revocation.h"
#include "common/identity/revocation.h"
#include "services/host/host.h"

namespace dotagent::host {

// Everything on the host's loop, but Create and the destructor, which are called from outside it, and what says that it
// may be called from any thread.
class RevocationFeed {
 public:
  using OnTokenRevoked = std::function<void(const capability::TokenRevocation&)>;

  // Loads the revocations kept in the host's store (under "revoked/", and "revoked-chain/" what verifies them), then
  // follows `target`. `on_revoked` is called on the loop, once for each key as it becomes known, with the verified
  // statement and its bytes, after it is on disk and before the key's sessions end. An empty `target` follows nobody:
  // Learn feeds it. `on_token_revoked`, for who checks capability tokens: likewise for their blocks (kept under
  // "revoked-token/"), those that are known already from inside of Create. Without it they are passed over, for good:
  // what a service watches for does not change between its releases.
  // Revocations that a registrar signed count if it is one of `registrars` or the identity that is followed: its own
  // service may say so of any key. (Under "revoked-registrar/" is who it was.)
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<RevocationFeed>> Create(
      Host& host, const std::string& target,
      std::function<void(const identity::Revocation&, const std::string& statement)> on_revoked,
      OnTokenRevoked on_token_revoked = nullptr, std::vector<crypto::PublicKey> registrars = {});
  ~RevocationFeed();

  // From any thread.
  [[nodiscard]] bool IsRevoked(const crypto::PublicKey& key) const;
  // The statement's bytes, or empty. From any thread.
  [[nodiscard]] std::string StatementFor(const crypto::PublicKey& key) const;
  // A revocation found elsewhere (in the DHT, say). Idempotent. As VerifyRevocationWith.
  [[nodiscard]] absl::Status Learn(absl::string_view statement, absl::string_view rotation_chain = {});

 private:
  RevocationFeed();
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace dotagent::host

#endif  // DOTAGENT_SERVICES_HOST_REVOCATION_FEED_H_
