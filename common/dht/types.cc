#include "common/dht/types.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace dotagent::dht {

absl::StatusOr<Id> Id::FromBytes(absl::string_view bytes) {
  Id id;
  if (bytes.size() != id.bytes_.size()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                           absl::StrCat("a DHT key has 32 bytes, not ", bytes.size()));
  }
  std::copy(bytes.begin(), bytes.end(), id.bytes_.begin());
  return id;
}

Id Id::OfNode(const crypto::PublicKey& key) {
  Id id;
  const std::string hash = crypto::Sha256(key.bytes());
  std::copy(hash.begin(), hash.end(), id.bytes_.begin());
  return id;
}

int Id::CommonPrefix(const Id& other) const {
  if (const uint64_t difference = Head() ^ other.Head(); difference != 0) return std::countl_zero(difference);
  for (size_t i = 0; i < bytes_.size(); ++i) {
    const uint8_t difference = bytes_[i] ^ other.bytes_[i];
    if (difference != 0) return static_cast<int>(i) * 8 + std::countl_zero(difference);
  }
  return kIdBits;
}

}  // namespace dotagent::dht
