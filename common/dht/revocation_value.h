// The revocation of a key (identity/revocation.h), under SHA-256("revocation:" ‖ SHA-256(key)). Final: it never
// expires; of several, the earliest stays. If the key is not its identity's first, or its successor signed, the proof
// has the identity's rotation chain. Under the registrar policy a registrar may sign, too.
#ifndef DOTAGENT_COMMON_DHT_REVOCATION_VALUE_H_
#define DOTAGENT_COMMON_DHT_REVOCATION_VALUE_H_

#include <utility>

#include "common/dht/value_type.h"

namespace dotagent::dht {

class RevocationValue final : public ValueType {
 public:
  explicit RevocationValue(NamePolicy policy) : policy_(std::move(policy)) {}

  [[nodiscard]] ValueKind kind() const override { return ValueKind::kRevocation; }
  [[nodiscard]] size_t max_size() const override;
  // As VerifyRevocationWith, so that no one revokes another's key. The value's signer is the revoked key.
  [[nodiscard]] absl::StatusOr<Value> Validate(const Item& item, absl::Time now) const override;
  [[nodiscard]] bool first_claim() const override { return false; }
  [[nodiscard]] bool many_owners() const override { return false; }
  [[nodiscard]] size_t enough() const override { return 1; }
  [[nodiscard]] bool revokes_owner() const override { return true; }
  [[nodiscard]] absl::StatusOr<bool> Replaces(const Value& held, const Value& offered) const override;
  [[nodiscard]] absl::Status Absent() const override;

  // Where the revocation of a key would be.
  [[nodiscard]] static Id KeyFor(const crypto::PublicKey& revoked);

 private:
  const NamePolicy policy_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_REVOCATION_VALUE_H_
