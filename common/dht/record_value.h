// A name's signed record (record/record.h), under SHA-256 of the lower-case name.
//
// Whose the name is follows from the policy. First-claim: his who claimed it first, as the witnesses say (verdict.h).
// Registrar: his whom a trusted registrar certified last (identity/name_certificate.h); the certificate travels in the
// proof, so one honest node that holds the record is enough, and there is nothing to vote on.
//
// The owner is the identity, not the key: a record signed by a key that the owner rotated to carries the chain in its
// proof (identity/rotation.h).
#ifndef DOTAGENT_COMMON_DHT_RECORD_VALUE_H_
#define DOTAGENT_COMMON_DHT_RECORD_VALUE_H_

#include <string>
#include <utility>

#include "common/dht/value_type.h"
#include "common/record/name_proof.h"

namespace dotagent::dht {

class RecordValue final : public ValueType {
 public:
  explicit RecordValue(NamePolicy policy) : policy_(std::move(policy)) {}

  [[nodiscard]] ValueKind kind() const override { return ValueKind::kRecord; }
  [[nodiscard]] size_t max_size() const override;
  // As Record::Verify; FailedPrecondition (STALE) once the ttl has run out. Of the proof: InvalidArgument
  // (BAD_STATEMENT if it is none or a part is bad, KEY_MISMATCH if the chain or the certificate is another key's),
  // PermissionDenied (NOT_CERTIFIED) if the policy asks for a certificate and there is none for this name.
  [[nodiscard]] absl::StatusOr<Value> Validate(const Item& item, absl::Time now) const override;
  [[nodiscard]] bool first_claim() const override { return policy_.registrars.empty(); }
  [[nodiscard]] bool many_owners() const override { return false; }
  [[nodiscard]] size_t enough() const override { return kReplicationFactor / 2 + 1; }
  [[nodiscard]] bool revokes_owner() const override { return false; }
  [[nodiscard]] absl::StatusOr<bool> Replaces(const Value& held, const Value& offered) const override;
  [[nodiscard]] absl::Status Absent() const override;

 private:
  const NamePolicy policy_;
};

// A record's proof as an Item carries it; empty if there is nothing to prove.
[[nodiscard]] std::string EncodeProof(const record::NameProof& proof);

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_RECORD_VALUE_H_
