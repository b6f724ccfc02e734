#include "common/dht/advert_value.h"

#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/capability/advert.h"
#include "common/dht/owner_proof.h"
#include "common/dht/relay_advert.h"

namespace dotagent::dht {

absl::StatusOr<bool> AdvertValue::Replaces(const Value& held, const Value& offered) const {
  // The same words, whatever goes with them.
  if (offered.item.bytes == held.item.bytes) return false;
  // Of one instant's, all nodes keep the same.
  if (std::tie(offered.timestamp, offered.item.bytes) > std::tie(held.timestamp, held.item.bytes)) return true;
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kSuperseded,
                         absl::StrCat("an advert of ", absl::FormatTime(held.timestamp, absl::UTCTimeZone()),
                                      " is already held, newer than this one; sign one with the current time"));
}

size_t CapabilityValue::max_size() const { return capability::kMaxAdvertSize; }

absl::StatusOr<Value> CapabilityValue::Validate(const Item& item, absl::Time now) const {
  ASSIGN_OR_RETURN(const capability::CapabilityAdvert advert, capability::VerifyCapabilityAdvert(item.bytes, now));
  ASSIGN_OR_RETURN(const std::string chain, ChainInProof(item.proof));
  ASSIGN_OR_RETURN(const Id owner, OwnerOf(advert.signer, chain, now));
  if (owner.bytes() != advert.agent.bytes()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kKeyMismatch,
                           "the advert's AgentId is not that of the key that signed it; sign with the agent's current "
                           "key, and send its rotation chain if that is not the first");
  }
  ASSIGN_OR_RETURN(const Id key, Id::FromBytes(capability::CapabilityKey(advert.capability)));
  return Value{.kind = ValueKind::kCapabilityAdvert,
               .key = key,
               .owner = owner,
               .signer = advert.signer,
               .timestamp = advert.signed_at,
               .expires = advert.expires,
               .withdrawn = advert.versions.empty(),
               .item = item};
}

absl::Status CapabilityValue::Absent() const {
  return absl::NotFoundError("this node holds no advert of this capability by this agent");
}

size_t RelayValue::max_size() const { return kMaxRelayAdvertSize; }

absl::StatusOr<Value> RelayValue::Validate(const Item& item, absl::Time now) const {
  RETURN_IF_ERROR(CheckNoProof(item));
  ASSIGN_OR_RETURN(const RelayAdvert advert, VerifyRelayAdvert(item.bytes, now));
  return Value{.kind = ValueKind::kRelayAdvert,
               .key = RelayShardKey(RelayShard(advert.relay)),
               .owner = Id::OfNode(advert.relay),
               .signer = advert.relay,
               .timestamp = advert.signed_at,
               .expires = advert.expires,
               .withdrawn = advert.addresses.empty(),
               .item = item};
}

absl::Status RelayValue::Absent() const { return absl::NotFoundError("this node holds no advert of this relay"); }

}  // namespace dotagent::dht
