#include "services/resolver/record_cache.h"

#include <algorithm>
#include <utility>

namespace dotagent::resolver_service {
namespace {

// A name that nobody has asked for in this long is believed absent as briefly as a new one.
constexpr absl::Duration kAbsenceForgotten = absl::Minutes(5);

}  // namespace

RecordCache::Hit RecordCache::Find(const record::Name& name, absl::Time now) {
  const Lock lock(mutex_);
  if (Entry* entry = records_.Find(name)) {
    if (now < entry->fresh_until) {
      return {.state = State::kFresh, .answer = entry->answer, .fresh_for = entry->fresh_until - now};
    }
    if (now < entry->stale_until) {
      const bool renew = now >= entry->renew_from;
      if (renew) entry->renew_from = now + kRenewalPause;
      return {.state = State::kStale, .answer = entry->answer, .renew = renew};
    }
  }
  const Absence* absence = absences_.Find(name);
  if (absence == nullptr || now >= absence->until) return {};
  return {.state = State::kAbsent, .absence = absence->why};
}

bool RecordCache::Insert(std::shared_ptr<const Answer> answer, absl::Time now) {
  const record::Record& record = answer->record;
  const Lock lock(mutex_);
  UpdateHistory history(record.timestamp());
  bool news = true;
  if (const Entry* held = records_.Find(record.name())) {
    const record::Record& before = held->answer->record;
    if (held->answer->owner == answer->owner) {
      // A straggler, which a slow node answered with. (Another holder's dates say nothing about this one's.)
      if (record.timestamp() < before.timestamp()) return false;
      history = held->history;
      history.See(record.timestamp());
    }
    news = record.json() != before.json();
  }
  absences_.Erase(record.name());
  const absl::Duration fresh_for = FreshFor(record, history, now);
  const absl::Duration stale_for = StaleFor(record, fresh_for, now);
  records_.Put(record.name(), Entry{.answer = answer,
                                    .history = history,
                                    .inserted = now,
                                    .fresh_until = now + fresh_for,
                                    .stale_until = now + fresh_for + stale_for,
                                    .renew_from = absl::InfinitePast()});
  return news;
}

bool RecordCache::InsertAbsence(const record::Name& name, absl::Status why, absl::Time asked, absl::Time now) {
  const Lock lock(mutex_);
  const Entry* held = records_.Find(name);
  if (held != nullptr && held->inserted >= asked) return false;
  const bool evicted = records_.Erase(name);
  const Absence* before = absences_.Find(name);
  const bool repeated = before != nullptr && now < before->until + kAbsenceForgotten;
  const uint32_t times = repeated ? before->times + 1 : 1;
  // The exponent is bounded before it is used.
  const absl::Duration believed = std::min(kFirstAbsence * (1U << std::min(times - 1, 8U)), kLongestAbsence);
  absences_.Put(name, Absence{.why = std::move(why), .until = now + believed, .times = times});
  return evicted;
}

bool RecordCache::Evict(const record::Name& name) {
  const Lock lock(mutex_);
  absences_.Erase(name);
  return records_.Erase(name);
}

std::vector<record::Name> RecordCache::EvictKey(const crypto::PublicKey& key) {
  std::vector<record::Name> evicted;
  const Lock lock(mutex_);
  records_.EraseIf([&](const record::Name& name, const Entry& entry) {
    if (entry.answer->record.public_key() != key) return false;
    evicted.push_back(name);
    return true;
  });
  return evicted;
}

size_t RecordCache::records() const {
  const Lock lock(mutex_);
  return records_.size();
}

size_t RecordCache::absences() const {
  const Lock lock(mutex_);
  return absences_.size();
}

}  // namespace dotagent::resolver_service
