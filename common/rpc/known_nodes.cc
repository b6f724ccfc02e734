#include "common/rpc/known_nodes.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"

namespace dotagent::rpc {

std::shared_ptr<KnownNodes> KnownNodes::Open(std::string path) {
  return std::shared_ptr<KnownNodes>(new KnownNodes(std::move(path)));
}

absl::Status KnownNodes::CheckOrRemember(const std::string& address, const crypto::PublicKey& key) {
  const std::string peer_id = crypto::PeerIdFromKey(key);
  absl::MutexLock lock(&mutex_);
  // Read anew each time: another command may have written since.
  if (!path_.empty()) Load();
  const auto known = known_.find(address);
  if (known == known_.end()) {
    known_[address] = peer_id;
    return path_.empty() ? absl::OkStatus() : Append(address, peer_id);
  }
  if (known->second == peer_id) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kUnauthenticated, reason::kKeyMismatch,
      absl::StrCat(address, " answers with the key of ", peer_id, ", but was ", known->second,
                   " before: somebody may be posing as it. If it was set up anew, remove its line from ",
                   path_.empty() ? "the memory of this process by restarting it" : path_));
}

void KnownNodes::Load() {
  std::ifstream file(path_);
  std::string line;
  while (std::getline(file, line)) {
    const std::vector<std::string> parts = absl::StrSplit(line, ' ', absl::SkipWhitespace());
    if (parts.size() == 2) known_.try_emplace(parts[0], parts[1]);  // the first key seen is the one that counts
  }
}

absl::Status KnownNodes::Append(const std::string& address, const std::string& peer_id) const {
  // One write in append mode: lines of two commands at once do not mix.
  const std::string line = absl::StrCat(address, " ", peer_id, "\n");
  const int fd = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const int error = errno;
  if (fd >= 0) close(fd);
  if (written) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("cannot remember the key of ", address, " in ", path_, ": ", std::strerror(error)));
}

}  // namespace dotagent::rpc
