// Records that were verified a moment ago, so that a conversation does not look up and check the same two records at
// each message: a lookup is a round trip, and a check of a record two of signatures.
//
// Nobody is believed for longer by that than kBelievedFor beyond what a lookup would have said, and no key but the one
// that was looked up. A revocation that the gateway hides is noticed that much later; one that it knows, it enforces
// itself. Bounded: kMaxRecords, the oldest go first.
#ifndef DOTAGENT_SDK_CPP_VERIFIED_RECORDS_H_
#define DOTAGENT_SDK_CPP_VERIFIED_RECORDS_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/record/name.h"
#include "common/record/record.h"

namespace dotagent::sdk {

// Thread-safe.
class VerifiedRecords {
 public:
  static constexpr absl::Duration kBelievedFor = absl::Seconds(10);
  static constexpr size_t kMaxRecords = 1'024;  // of at most 8 KB each

  // As Record::Verify of what is said to be the record of `name`; the very bytes that were verified for it within
  // kBelievedFor are not checked again. DataLoss (KEY_MISMATCH) if it is another name's.
  [[nodiscard]] absl::StatusOr<record::Record> Verify(const record::Name& name, absl::string_view json, absl::Time now);

  // `record`, which has been verified, is what a lookup found; it is believed for at most `ttl`.
  void Found(const record::Record& record, absl::Duration ttl, absl::Time now);

  // What a lookup of `name` within kBelievedFor, and within its ttl, found.
  [[nodiscard]] std::optional<record::Record> Find(const record::Name& name, absl::Time now) const;
  // Whether that holds `key`.
  [[nodiscard]] bool Holds(const record::Name& name, const crypto::PublicKey& key, absl::Time now) const;

 private:
  struct Known {
    record::Record record;
    absl::Time verified;
    absl::Time looked_up_until;  // in the past if it was not looked up
  };
  void Keep(const record::Record& record, absl::Time looked_up_until, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Known> by_name_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> order_ ABSL_GUARDED_BY(mutex_);  // names, the oldest first
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_VERIFIED_RECORDS_H_
