// The record of a name (record/record.h), under SHA-256 of the name. The newest wins; a name belongs to the key that
// claimed it first.
#ifndef DOTAGENT_COMMON_DHT_RECORD_VALUE_H_
#define DOTAGENT_COMMON_DHT_RECORD_VALUE_H_

#include "common/dht/value_type.h"

namespace dotagent::dht {

class RecordValue final : public ValueType {
 public:
  [[nodiscard]] ValueKind kind() const override { return ValueKind::kRecord; }
  [[nodiscard]] size_t max_size() const override;
  // As Record::Verify; FailedPrecondition (STALE) once the ttl has run out.
  [[nodiscard]] absl::StatusOr<Value> Validate(const Item& item, absl::Time now) const override;
  [[nodiscard]] bool first_claim() const override { return true; }
  [[nodiscard]] bool revokes_owner() const override { return false; }
  [[nodiscard]] absl::StatusOr<bool> Replaces(const Value& held, const Value& offered) const override;
  [[nodiscard]] absl::Status Absent() const override;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_RECORD_VALUE_H_
