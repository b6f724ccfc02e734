// For how long an answer is believed without asking again.
//
// A record that its owner has changed n times since T is expected to change (n + 1) / T times a second; it is used
// until the chance that it has changed meanwhile reaches a tenth: T / (n + 1) / 10. For a record seen once that is a
// tenth of its age, as HTTP caches guess (RFC 9111 §4.2.2); from then on the observed rate of updates speaks too, so
// one that has been stable for months is not asked for every few seconds just because its owner renewed it, and one
// that changes every minute is, however long it has been known.
//
// An answer past that, but not by more than as long again, is still handed out while it is being renewed.
#ifndef DOTAGENT_SERVICES_RESOLVER_FRESHNESS_H_
#define DOTAGENT_SERVICES_RESOLVER_FRESHNESS_H_

#include <cstdint>

#include "absl/time/time.h"
#include "common/record/record.h"

namespace dotagent::resolver_service {

inline constexpr absl::Duration kShortestFresh = absl::Seconds(5);
inline constexpr absl::Duration kLongestFresh = absl::Minutes(5);
inline constexpr absl::Duration kLongestStale = absl::Minutes(1);

// How often one owner changes one name's record. A value.
class UpdateHistory {
 public:
  // `timestamp`: the owner's date on the first record seen.
  explicit UpdateHistory(absl::Time timestamp) : since_(timestamp), newest_(timestamp) {}

  // A record was seen. Counts if it is newer than all before. Old changes count less and less.
  void See(absl::Time timestamp);
  [[nodiscard]] absl::Duration ExpectedInterval(absl::Time now) const;

 private:
  absl::Time since_;
  absl::Time newest_;
  uint32_t changes_ = 0;
};

// From `now`: between kShortestFresh and kLongestFresh, and never beyond the record's own ttl.
[[nodiscard]] absl::Duration FreshFor(const record::Record& record, const UpdateHistory& history, absl::Time now);

// For how long after that: as long again, between kShortestFresh and kLongestStale, and never beyond the ttl.
[[nodiscard]] absl::Duration StaleFor(const record::Record& record, absl::Duration fresh_for, absl::Time now);

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_FRESHNESS_H_
