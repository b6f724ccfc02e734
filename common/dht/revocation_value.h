// The revocation of a key (identity/revocation.h), under SHA-256("revocation:" ‖ AgentId). Final: it never expires; of
// several, the earliest stays.
#ifndef DOTAGENT_COMMON_DHT_REVOCATION_VALUE_H_
#define DOTAGENT_COMMON_DHT_REVOCATION_VALUE_H_

#include "common/dht/value_type.h"

namespace dotagent::dht {

class RevocationValue final : public ValueType {
 public:
  [[nodiscard]] ValueKind kind() const override { return ValueKind::kRevocation; }
  [[nodiscard]] size_t max_size() const override;
  // As VerifyRevocation; InvalidArgument (KEY_MISMATCH) unless the statement's identity is the signer's own, so that no
  // one revokes another's key.
  [[nodiscard]] absl::StatusOr<Value> Validate(const Item& item, absl::Time now) const override;
  [[nodiscard]] bool first_claim() const override { return false; }
  [[nodiscard]] bool many_owners() const override { return false; }
  [[nodiscard]] size_t enough() const override { return 1; }
  [[nodiscard]] bool revokes_owner() const override { return true; }
  [[nodiscard]] absl::StatusOr<bool> Replaces(const Value& held, const Value& offered) const override;
  [[nodiscard]] absl::Status Absent() const override;

  // Where the revocation of a key would be.
  [[nodiscard]] static Id KeyFor(const crypto::PublicKey& signer);
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_REVOCATION_VALUE_H_
