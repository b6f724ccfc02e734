#include "common/rpc/peer_keys.h"

#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/rpc/server.h"

namespace dotagent::rpc {

absl::StatusOr<crypto::PublicKey> PeerKeys::Of(const grpc::ServerContextBase& context) {
  const absl::Time now = clock_.Now();
  const std::vector<grpc::string_ref> certificates = context.auth_context()->FindPropertyValues("x509_pem_cert");
  if (certificates.empty()) return PeerKey(context, now);  // says what is missing
  const std::string digest =
      crypto::Sha256(absl::string_view(certificates.front().data(), certificates.front().size()));
  {
    const absl::MutexLock lock(&mutex_);
    const auto found = checked_.find(digest);
    if (found != checked_.end() && now < found->second.until) return found->second.key;
  }
  ASSIGN_OR_RETURN(const crypto::PublicKey key, PeerKey(context, now));
  const absl::MutexLock lock(&mutex_);
  // Full is rare, and costs each caller one check more.
  if (checked_.size() >= kMaxPeerKeys) checked_.clear();
  checked_[digest] = {.key = key, .until = now + kPeerKeyKept};
  return key;
}

}  // namespace dotagent::rpc
