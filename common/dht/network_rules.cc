#include "common/dht/network_rules.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/crypto/hash.h"
#include "common/dht/wire.h"

namespace dotagent::dht {
namespace {

constexpr size_t kDigestSize = 8;

}  // namespace

std::string ProtocolIdOf(const NamePolicy& policy, const PuzzleDifficulty& puzzle) {
  std::string id = kProtocolId;
  if (!policy.registrars.empty()) {
    std::string keys;
    for (const crypto::PublicKey& key : std::set(policy.registrars.begin(), policy.registrars.end())) {
      absl::StrAppend(&keys, key.bytes());
    }
    absl::StrAppend(&id, "/registrar/", HexEncode(crypto::Sha256(keys).substr(0, kDigestSize)));
  }
  if (puzzle.static_bits > 0 || puzzle.dynamic_bits > 0) {
    absl::StrAppend(&id, "/puzzle/", puzzle.static_bits, "/", puzzle.dynamic_bits);
  }
  return id;
}

}  // namespace dotagent::dht
