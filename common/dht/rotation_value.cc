#include "common/dht/rotation_value.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/identity/rotation.h"

namespace dotagent::dht {
namespace {

// Checks signatures again: values are compared rarely, and only what two stores hold.
absl::StatusOr<identity::RotationChain> ChainIn(const Item& item, absl::Time now) {
  ASSIGN_OR_RETURN(const std::vector<std::string> statements, identity::DecodeRotationChain(item.bytes));
  return identity::VerifyRotationChain(statements, now);
}

}  // namespace

size_t RotationValue::max_size() const { return identity::kMaxRotationChainSize; }

absl::StatusOr<Value> RotationValue::Validate(const Item& item, absl::Time now) const {
  RETURN_IF_ERROR(CheckNoProof(item));
  ASSIGN_OR_RETURN(const identity::RotationChain chain, ChainIn(item, now));
  ASSIGN_OR_RETURN(const Id key, Id::FromBytes(identity::RotationKey(chain.agent)));
  ASSIGN_OR_RETURN(const Id owner, Id::FromBytes(chain.agent.bytes()));
  return Value{.kind = ValueKind::kRotation,
               .key = key,
               .owner = owner,
               .signer = chain.current(),
               .timestamp = chain.newest(),
               .expires = absl::InfiniteFuture(),
               .item = item};
}

absl::StatusOr<bool> RotationValue::Replaces(const Value& held, const Value& offered) const {
  // Both were validated, at the latest at the newer one's date.
  const absl::Time now = std::max(held.timestamp, offered.timestamp);
  ASSIGN_OR_RETURN(const identity::RotationChain ours, ChainIn(held.item, now));
  ASSIGN_OR_RETURN(const identity::RotationChain theirs, ChainIn(offered.item, now));
  const identity::ChainComparison comparison = identity::CompareRotationChains(ours, theirs);
  switch (comparison.relation) {
    case identity::ChainRelation::kSame:
      return false;
    case identity::ChainRelation::kOlder:
      return true;
    case identity::ChainRelation::kNewer:
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kSuperseded,
                             absl::StrCat("a chain of ", ours.length(),
                                          " events is already held, longer than this one of ", theirs.length()));
    case identity::ChainRelation::kFork:
    case identity::ChainRelation::kStrangers:
      break;
  }
  return ErrorWithReason(absl::StatusCode::kAborted, reason::kConflict,
                         absl::StrCat("the chain parts from the one that is held after ", comparison.common,
                                      " events: someone has used keys that were retired; make a new identity"));
}

absl::Status RotationValue::Absent() const {
  return absl::NotFoundError("no node holds a rotation chain of this identity");
}

}  // namespace dotagent::dht
