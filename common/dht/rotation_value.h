// An identity's rotation chain (identity/rotation.h), under SHA-256("rotation:" ‖ AgentId).
//
// The key follows from the identity, so no one else's chain can be stored there and no claim is needed. A longer chain
// replaces its beginning. One that forks off is refused by whoever has seen the other branch: only a thief of retired
// keys makes one.
// A chain never expires: who forgot it would take an old key for the current one.
#ifndef DOTAGENT_COMMON_DHT_ROTATION_VALUE_H_
#define DOTAGENT_COMMON_DHT_ROTATION_VALUE_H_

#include "common/dht/value_type.h"

namespace dotagent::dht {

class RotationValue final : public ValueType {
 public:
  [[nodiscard]] ValueKind kind() const override { return ValueKind::kRotation; }
  [[nodiscard]] size_t max_size() const override;
  // As DecodeRotationChain and VerifyRotationChain. The signer is the current key.
  [[nodiscard]] absl::StatusOr<Value> Validate(const Item& item, absl::Time now) const override;
  [[nodiscard]] bool first_claim() const override { return false; }
  [[nodiscard]] bool many_owners() const override { return false; }
  [[nodiscard]] size_t enough() const override { return kReplicationFactor / 2 + 1; }
  [[nodiscard]] bool revokes_owner() const override { return false; }
  // Aborted (CONFLICT) if `offered` forks off.
  [[nodiscard]] absl::StatusOr<bool> Replaces(const Value& held, const Value& offered) const override;
  [[nodiscard]] absl::Status Absent() const override;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_ROTATION_VALUE_H_
