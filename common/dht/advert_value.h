// What agents and relays advertise, as values of the DHT: the kinds of which many owners each have one under one key.
//
//   capability advert (common/capability/advert.h)  under SHA-256("capability:" ‖ capability); the owner is the
//   AgentId.
//       Signed by another key than the identity's first, it carries the rotation chain in its proof.
//   relay advert (relay_advert.h)  under SHA-256("relay:" ‖ shard); the owner is the NodeId.
//
// Of one owner's adverts the newest stays, also if it says no more than that nothing is offered any longer
// (Value::withdrawn): otherwise an older one could be brought back.
//
// Defends also against proofs that prove nothing, which would cost every holder room: a proof is refused unless it is
// the chain, in the one form that says what it says.
#ifndef DOTAGENT_COMMON_DHT_ADVERT_VALUE_H_
#define DOTAGENT_COMMON_DHT_ADVERT_VALUE_H_

#include "common/dht/value_type.h"

namespace dotagent::dht {

class AdvertValue : public ValueType {
 public:
  [[nodiscard]] bool first_claim() const override { return false; }
  [[nodiscard]] bool many_owners() const override { return true; }
  [[nodiscard]] size_t enough() const override { return kReplicationFactor / 2 + 1; }
  [[nodiscard]] bool revokes_owner() const override { return false; }
  [[nodiscard]] absl::StatusOr<bool> Replaces(const Value& held, const Value& offered) const override;
};

class CapabilityValue final : public AdvertValue {
 public:
  [[nodiscard]] ValueKind kind() const override { return ValueKind::kCapabilityAdvert; }
  [[nodiscard]] size_t max_size() const override;
  // As VerifyCapabilityAdvert. InvalidArgument too: KEY_MISMATCH if the signer is not the agent's current key,
  // BAD_STATEMENT if the proof is not just a rotation chain.
  [[nodiscard]] absl::StatusOr<Value> Validate(const Item& item, absl::Time now) const override;
  [[nodiscard]] absl::Status Absent() const override;
};

class RelayValue final : public AdvertValue {
 public:
  [[nodiscard]] ValueKind kind() const override { return ValueKind::kRelayAdvert; }
  [[nodiscard]] size_t max_size() const override;
  // As VerifyRelayAdvert; BAD_STATEMENT if there is a proof: a node's key does not rotate.
  [[nodiscard]] absl::StatusOr<Value> Validate(const Item& item, absl::Time now) const override;
  [[nodiscard]] absl::Status Absent() const override;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_ADVERT_VALUE_H_
