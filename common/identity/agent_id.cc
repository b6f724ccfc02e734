#include "common/identity/agent_id.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace dotagent::identity {

AgentId AgentId::FromFirstKey(const crypto::PublicKey& key) {
  AgentId id;
  const std::string digest = crypto::Sha256(key.bytes());
  std::copy(digest.begin(), digest.end(), id.bytes_.begin());
  return id;
}

absl::StatusOr<AgentId> AgentId::FromBytes(absl::string_view bytes) {
  AgentId id;
  if (bytes.size() != id.bytes_.size()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                           absl::StrCat("an AgentId is 32 bytes; this one is ", bytes.size()));
  }
  std::copy(bytes.begin(), bytes.end(), id.bytes_.begin());
  return id;
}

std::string AgentId::ToString() const { return HexEncode(bytes()); }

}  // namespace dotagent::identity
