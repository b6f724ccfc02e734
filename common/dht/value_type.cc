#include "common/dht/value_type.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/dht/advert_value.h"
#include "common/dht/record_value.h"
#include "common/dht/revocation_value.h"
#include "common/dht/rotation_value.h"
#include "common/identity/statement.h"
#include "dotagent/dht/v1/dht.pb.h"

namespace dotagent::dht {

namespace {
constexpr int kKinds = 5;
}  // namespace

std::optional<ValueKind> KindFromNumber(int number) {
  if (number < 1 || number > kKinds) return std::nullopt;
  return static_cast<ValueKind>(number);
}

absl::Status CheckNoProof(const Item& item) {
  if (item.proof.empty()) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadStatement,
                         absl::StrCat("a value of this kind needs no proof, and came with one of ", item.proof.size(),
                                      " bytes; send it without"));
}

absl::StatusOr<std::string> ChainInProof(const std::string& proof) {
  v1::Proof parsed;
  if (!identity::ParseStrictly(proof, &parsed) || !parsed.name_certificate().empty()) {
    return identity::BadStatement("what goes with such a statement is a rotation chain or nothing");
  }
  return parsed.rotation_chain();
}

Id DigestOf(const Item& item) {
  // A SHA-256 is always the right size.
  return *Id::FromBytes(crypto::Sha256(item.bytes));
}

ValueTypes::ValueTypes(NamePolicy policy) {
  types_.push_back(std::make_unique<RecordValue>(policy));
  types_.push_back(std::make_unique<RevocationValue>(std::move(policy)));
  types_.push_back(std::make_unique<RotationValue>());
  types_.push_back(std::make_unique<CapabilityValue>());
  types_.push_back(std::make_unique<RelayValue>());
}

ValueTypes::~ValueTypes() = default;

const ValueType& ValueTypes::Of(ValueKind kind) const { return *types_[static_cast<size_t>(kind) - 1]; }

absl::StatusOr<Value> ValueTypes::ValidateUnder(const Id& key, ValueKind kind, const Item& item, absl::Time now) const {
  ASSIGN_OR_RETURN(Value value, Of(kind).Validate(item, now));
  if (value.key != key) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                           "the value belongs under another key; store it under the key that its name implies");
  }
  return value;
}

}  // namespace dotagent::dht
