// Whose key answered at an address the first time: trust on first use, as ssh's known_hosts.
//
// Defends against somebody who later takes an address over. A file has one "host:port PEER_ID" a line, mode 0600.
#ifndef DOTAGENT_COMMON_RPC_KNOWN_NODES_H_
#define DOTAGENT_COMMON_RPC_KNOWN_NODES_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/keys.h"

namespace dotagent::rpc {

// Thread-safe.
class KnownNodes {
 public:
  // An empty path remembers in this object only.
  [[nodiscard]] static std::shared_ptr<KnownNodes> Open(std::string path);

  // OK if `key` is the one known for `address`, or none is (it is then remembered). Unauthenticated (KEY_MISMATCH) if
  // another is, with what to do; FailedPrecondition if the file cannot be read or written.
  [[nodiscard]] absl::Status CheckOrRemember(const std::string& address, const crypto::PublicKey& key);

 private:
  explicit KnownNodes(std::string path) : path_(std::move(path)) {}
  void Load() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[nodiscard]] absl::Status Append(const std::string& address, const std::string& peer_id) const;

  const std::string path_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::string> known_ ABSL_GUARDED_BY(mutex_);  // address to peer id
};

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_KNOWN_NODES_H_
