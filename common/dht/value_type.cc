#include "common/dht/value_type.h"

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/dht/record_value.h"
#include "common/dht/revocation_value.h"

namespace dotagent::dht {

std::optional<ValueKind> KindFromNumber(int number) {
  switch (number) {
    case static_cast<int>(ValueKind::kRecord):
    case static_cast<int>(ValueKind::kRevocation):
      return static_cast<ValueKind>(number);
    default:
      return std::nullopt;
  }
}

Id DigestOf(const Item& item) {
  // A SHA-256 is always the right size.
  return *Id::FromBytes(crypto::Sha256(item.bytes));
}

const ValueType& TypeOf(ValueKind kind) {
  static const RecordValue record;
  static const RevocationValue revocation;
  switch (kind) {
    case ValueKind::kRecord:
      return record;
    case ValueKind::kRevocation:
      return revocation;
  }
  return record;  // not reached: the wire decoder admits only kinds that exist
}

absl::StatusOr<Value> ValidateUnder(const Id& key, ValueKind kind, const Item& item, absl::Time now) {
  ASSIGN_OR_RETURN(Value value, TypeOf(kind).Validate(item, now));
  if (value.key != key) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                           "the value belongs under another key; store it under the key that its name implies");
  }
  return value;
}

}  // namespace dotagent::dht
