// What an identity is called: SHA-256 of its first Ed25519 public key. It stays when the key is rotated.
#ifndef DOTAGENT_COMMON_IDENTITY_AGENT_ID_H_
#define DOTAGENT_COMMON_IDENTITY_AGENT_ID_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/keys.h"

namespace dotagent::identity {

// A value; ordered and hashable. Text form: 64 lower-case hexadecimal digits.
class AgentId {
 public:
  AgentId() = default;
  [[nodiscard]] static AgentId FromFirstKey(const crypto::PublicKey& key);
  // InvalidArgument (BAD_KEY) for any size but 32.
  [[nodiscard]] static absl::StatusOr<AgentId> FromBytes(absl::string_view bytes);

  [[nodiscard]] absl::string_view bytes() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  [[nodiscard]] std::string ToString() const;

  friend auto operator<=>(const AgentId&, const AgentId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const AgentId& id) {
    return H::combine(std::move(h), id.bytes_);
  }

 private:
  std::array<uint8_t, 32> bytes_{};
};

}  // namespace dotagent::identity

#endif  // DOTAGENT_COMMON_IDENTITY_AGENT_ID_H_
