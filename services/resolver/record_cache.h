// Verified records that this resolver has fetched before.
//
// How long one is kept follows its age, as HTTP caches guess freshness (RFC 9111 §4.2.2): a tenth of the time since its
// owner signed it, between 5 s and 5 min, and never beyond its own ttl. So a record that changes often is asked for
// often. Least recently used entries go first when it is full.
#ifndef DOTAGENT_SERVICES_RESOLVER_RECORD_CACHE_H_
#define DOTAGENT_SERVICES_RESOLVER_RECORD_CACHE_H_

#include <cstddef>
#include <list>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/record/record.h"

namespace dotagent::resolver_service {

// Not thread-safe. Memory: at most `capacity` records of at most 8 KiB.
class RecordCache {
 public:
  explicit RecordCache(size_t capacity = 10'000) : capacity_(capacity) {}

  // nullptr if there is none, or it is no longer fresh. Valid until the next call.
  [[nodiscard]] const record::Record* Find(const record::Name& name, absl::Time now);

  // Replaces what there is, unless that is newer and of the same key. Returns true if `record` was not here before.
  bool Insert(const record::Record& record, absl::Time now);

  // Forgets every record that holds `key` and returns their names.
  std::vector<record::Name> EvictKey(const crypto::PublicKey& key);

  [[nodiscard]] size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    record::Record record;
    absl::Time fresh_until;
    std::list<record::Name>::iterator use;
  };
  const size_t capacity_;
  std::list<record::Name> uses_;  // most recent first
  absl::flat_hash_map<record::Name, Entry> entries_;
};

// For how long from `now` an answer may be used without asking again.
[[nodiscard]] absl::Duration FreshFor(const record::Record& record, absl::Time now);

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_SERVICES_RESOLVER_RECORD_CACHE_H_
