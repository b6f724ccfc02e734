// What this resolver knows of names: verified records that it has fetched, and names that it has found to be absent.
//
// A record is fresh, then stale (handed out, while one caller renews it), then gone (freshness.h says when). An absence
// is believed for 5 s at first and up to 30 s when the name stays absent; a record under the name ends it. Only absence
// is remembered, never a failure to ask. Least recently used entries go first when a side is full, and absences do not
// push out records, so asking for random names empties nothing.
//
// Thread-safe, so that a gRPC thread answers from it without waiting for the service's loop: a look takes the lock for
// about 100 ns.
#ifndef DOTAGENT_SERVICES_RESOLVER_RECORD_CACHE_H_
#define DOTAGENT_SERVICES_RESOLVER_RECORD_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/crypto/keys.h"
#include "common/record/name.h"
#include "services/resolver/answer.h"
#include "services/resolver/freshness.h"
#include "services/resolver/lru_map.h"

namespace dotagent::resolver_service {

inline constexpr absl::Duration kFirstAbsence = absl::Seconds(5);
inline constexpr absl::Duration kLongestAbsence = absl::Seconds(30);
// A stale record whose renewal failed is tried again after this.
inline constexpr absl::Duration kRenewalPause = absl::Seconds(1);

// Memory: at most `capacity` answers (a record of at most 8 KiB and its receipts), and as many short absences.
class RecordCache {
 public:
  explicit RecordCache(size_t capacity = 10'000) : records_(capacity), absences_(capacity) {}

  enum class State { kMiss, kFresh, kStale, kAbsent };
  struct Hit {
    State state = State::kMiss;
    std::shared_ptr<const Answer> answer;  // kFresh and kStale
    absl::Duration fresh_for;              // kFresh: for how much longer
    bool renew = false;                    // kStale: this caller, and no other, is to fetch it anew
    absl::Status absence;                  // kAbsent: why
  };
  [[nodiscard]] Hit Find(const record::Name& name, absl::Time now);

  // Keeps an answer, unless a newer one of the same key is there. True if its record was not here before.
  bool Insert(std::shared_ptr<const Answer> answer, absl::Time now);

  // Notes that the DHT, asked at `asked`, had nothing. Forgets a record that was here before then, and returns true if
  // there was one; a record that came since stays, and the absence is not noted.
  bool InsertAbsence(const record::Name& name, absl::Status why, absl::Time asked, absl::Time now);

  // Forgets the record of a name, and its absence. True if there was a record.
  bool Evict(const record::Name& name);
  // Forgets every record that holds `key` and returns their names. Looks at all.
  std::vector<record::Name> EvictKey(const crypto::PublicKey& key);

  [[nodiscard]] size_t records() const;
  [[nodiscard]] size_t absences() const;

 private:
  struct Entry {
    std::shared_ptr<const Answer> answer;
    UpdateHistory history;
    absl::Time inserted;
    absl::Time fresh_until;
    absl::Time stale_until;
    absl::Time renew_from;  // no earlier, for one caller renews it or has just failed to
  };
  struct Absence {
    absl::Status why;
    absl::Time until;
    uint32_t times = 0;
  };

  mutable Mutex mutex_;
  LruMap<record::Name, Entry> records_ ABSL_GUARDED_BY(mutex_);
  LruMap<record::Name, Absence> absences_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_RECORD_CACHE_H_
