#include "services/resolver/record_cache.h"

#include <algorithm>

namespace dotagent::resolver_service {
namespace {
constexpr absl::Duration kShortest = absl::Seconds(5);
constexpr absl::Duration kLongest = absl::Minutes(5);
}  // namespace

absl::Duration FreshFor(const record::Record& record, absl::Time now) {
  const absl::Duration guess = std::clamp((now - record.timestamp()) / 10, kShortest, kLongest);
  return std::clamp(record.expires() - now, absl::ZeroDuration(), guess);
}

const record::Record* RecordCache::Find(const record::Name& name, absl::Time now) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || now >= found->second.fresh_until) return nullptr;
  uses_.splice(uses_.begin(), uses_, found->second.use);
  return &found->second.record;
}

bool RecordCache::Insert(const record::Record& record, absl::Time now) {
  const auto found = entries_.find(record.name());
  if (found != entries_.end()) {
    const record::Record& held = found->second.record;
    // A straggler, which a slow node answered with. (Another holder's dates say nothing about this one's.)
    if (record.public_key() == held.public_key() && record.timestamp() < held.timestamp()) return false;
    const bool newer = record.json() != held.json();
    found->second.record = record;
    found->second.fresh_until = now + FreshFor(record, now);
    uses_.splice(uses_.begin(), uses_, found->second.use);
    return newer;
  }
  if (entries_.size() >= capacity_) {
    entries_.erase(uses_.back());
    uses_.pop_back();
  }
  uses_.push_front(record.name());
  entries_.emplace(record.name(), Entry{record, now + FreshFor(record, now), uses_.begin()});
  return true;
}

std::vector<record::Name> RecordCache::EvictKey(const crypto::PublicKey& key) {
  std::vector<record::Name> evicted;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto current = entry++;
    if (current->second.record.public_key() != key) continue;
    evicted.push_back(current->first);
    uses_.erase(current->second.use);
    entries_.erase(current);
  }
  return evicted;
}

}  // namespace dotagent::resolver_service
