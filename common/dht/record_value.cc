#include "common/dht/record_value.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/identity/agent_id.h"
#include "common/record/record.h"

namespace dotagent::dht {

size_t RecordValue::max_size() const { return record::kMaxRecordSize; }

absl::StatusOr<Value> RecordValue::Validate(const Item& item, absl::Time now) const {
  ASSIGN_OR_RETURN(const record::Record record, record::Record::Verify(item.bytes, now));
  if (record.expires() <= now) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale,
                           absl::StrCat("the record of ", record.name().text(), " expired at ",
                                        absl::FormatTime(record.expires(), absl::UTCTimeZone()), "; sign a new one"));
  }
  ASSIGN_OR_RETURN(const Id key, Id::FromBytes(record.name().DhtKey()));
  ASSIGN_OR_RETURN(const Id owner, Id::FromBytes(identity::AgentId::FromFirstKey(record.public_key()).bytes()));
  return Value{.kind = ValueKind::kRecord,
               .key = key,
               .owner = owner,
               .signer = record.public_key(),
               .timestamp = record.timestamp(),
               .expires = record.expires(),
               .item = item};
}

absl::StatusOr<bool> RecordValue::Replaces(const Value& held, const Value& offered) const {
  if (offered.timestamp > held.timestamp) return true;
  if (offered.timestamp == held.timestamp && offered.item.bytes == held.item.bytes) return false;
  // Two records of one instant: all nodes keep the same one.
  if (offered.timestamp == held.timestamp && offered.item.bytes > held.item.bytes) return true;
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, reason::kSuperseded,
      absl::StrCat("a record of ", absl::FormatTime(held.timestamp, absl::UTCTimeZone()),
                   " is already held, newer than this one of ",
                   absl::FormatTime(offered.timestamp, absl::UTCTimeZone()), "; sign one with the current time"));
}

absl::Status RecordValue::Absent() const {
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound,
                         "no node holds a record of this name; check its spelling, or ask its owner to register it");
}

}  // namespace dotagent::dht
