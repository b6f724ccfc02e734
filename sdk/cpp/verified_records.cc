#include "sdk/cpp/verified_records.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::sdk {

absl::StatusOr<record::Record> VerifiedRecords::Verify(const record::Name& name, absl::string_view json,
                                                       absl::Time now) {
  {
    const absl::MutexLock lock(&mutex_);
    const auto found = by_name_.find(name.text());
    if (found != by_name_.end() && now - found->second.verified < kBelievedFor && found->second.record.json() == json) {
      return found->second.record;
    }
  }
  ASSIGN_OR_RETURN(record::Record record, record::Record::Verify(json, now));
  if (record.name() != name) {
    return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kKeyMismatch,
                           absl::StrCat("the gateway says that the record of ", record.name().text(), " is that of ",
                                        name.text(), "; do not trust it"));
  }
  const absl::MutexLock lock(&mutex_);
  Keep(record, absl::InfinitePast(), now);
  return record;
}

void VerifiedRecords::Keep(const record::Record& record, absl::Time looked_up_until, absl::Time now) {
  const std::string& name = record.name().text();
  const auto [entry, is_new] = by_name_.try_emplace(name, Known{record, now, looked_up_until});
  if (!is_new) {
    // What a lookup said is not forgotten because the same record came by another way.
    const bool same = entry->second.record.json() == record.json();
    const absl::Time until = same ? std::max(looked_up_until, entry->second.looked_up_until) : looked_up_until;
    entry->second = {record, now, until};
    return;
  }
  order_.push_back(name);
  if (order_.size() <= kMaxRecords) return;
  by_name_.erase(order_.front());
  order_.pop_front();
}

void VerifiedRecords::Found(const record::Record& record, absl::Duration ttl, absl::Time now) {
  const absl::MutexLock lock(&mutex_);
  Keep(record, now + std::min(ttl, kBelievedFor), now);
}

std::optional<record::Record> VerifiedRecords::Find(const record::Name& name, absl::Time now) const {
  const absl::MutexLock lock(&mutex_);
  const auto found = by_name_.find(name.text());
  if (found == by_name_.end() || now >= found->second.looked_up_until) return std::nullopt;
  return found->second.record;
}

bool VerifiedRecords::Holds(const record::Name& name, const crypto::PublicKey& key, absl::Time now) const {
  const absl::MutexLock lock(&mutex_);
  const auto found = by_name_.find(name.text());
  return found != by_name_.end() && found->second.record.public_key() == key && now < found->second.looked_up_until;
}

}  // namespace dotagent::sdk
