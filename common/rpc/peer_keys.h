// Who calls, by the TLS certificate of the connection, for methods that are called often: a certificate that was
// checked is remembered, since checking one costs two signatures and 0.3 ms.
//
// Defends against callers who come with certificates without number: at most kMaxPeerKeys are remembered, for
// kPeerKeyKept each, and only good ones.
#ifndef DOTAGENT_COMMON_RPC_PEER_KEYS_H_
#define DOTAGENT_COMMON_RPC_PEER_KEYS_H_

#include <grpcpp/server_context.h>

#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/crypto/keys.h"

namespace dotagent::rpc {

inline constexpr size_t kMaxPeerKeys = 256;  // under 2 KiB each
inline constexpr absl::Duration kPeerKeyKept = absl::Minutes(10);

// Thread-safe.
class PeerKeys {
 public:
  // `clock` must outlive it.
  explicit PeerKeys(const Clock& clock) : clock_(clock) {}

  // As PeerKey (server.h).
  [[nodiscard]] absl::StatusOr<crypto::PublicKey> Of(const grpc::ServerContextBase& context);

 private:
  struct Checked {
    crypto::PublicKey key;
    absl::Time until;
  };
  const Clock& clock_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Checked> checked_ ABSL_GUARDED_BY(mutex_);  // by SHA-256 of the certificate's PEM
};

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_PEER_KEYS_H_
