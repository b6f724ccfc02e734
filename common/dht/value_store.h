// The values that this node keeps for others, on disk.
//
// Tables, all of one storage::Store:
//   dht/value/<kind>/<key>           a value behind a fixed header (dates, owner), so that sweeping needs no parsing
//   dht/owner/<owner>/<kind>/<key>   empty: what an owner stores here, for eviction at its revocation, and for counting
//   dht/claim/<key>                  who claimed a name first, and the date of its newest record
//   dht/revoked/<owner>              empty: the key is revoked
//
// Defends against: taking over a name (first-claim binding; it lapses 30 days after the date of the owner's newest
// record, a date that only the owner can sign, so that replays do not prolong it); replay of older records, even of
// expired ones (the claim remembers the newest date); records of revoked keys; filling the disk (bounded number of
// values and claims). What it confirmed is synced.
//
// Departure from the paper: a value lives as long as its signer said, not a fixed 24 h; passing it on does not prolong
// it.
//
// Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_VALUE_STORE_H_
#define DOTAGENT_COMMON_DHT_VALUE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/dht/types.h"
#include "common/dht/value_type.h"
#include "common/storage/store.h"

namespace dotagent::dht {

inline constexpr absl::Duration kClaimLifetime = absl::Hours(24 * 30);

// A value as it is kept. (Value::key and Value::kind are filled in from the table's key.)
struct HeldValue {
  Value value;
  absl::Time received;  // when it was last offered to this node
};

class ValueStore {
 public:
  // `store` must outlive it. Counts what is there: one pass over the owner and claim tables. If that fails, every
  // Store fails with the same error.
  ValueStore(storage::Store* store, size_t max_values);

  // Keeps a validated value; on disk once it returns OK, as it does also for a value that is already here.
  // PermissionDenied (KEY_REVOKED), AlreadyExists (NAME_TAKEN), FailedPrecondition (SUPERSEDED), ResourceExhausted
  // (LIMIT), or the disk's Unavailable (STORAGE). A revocation evicts every other value of its owner.
  [[nodiscard]] absl::Status Store(const Value& value, absl::Time now);

  // NotFound if there is none, or it has expired.
  [[nodiscard]] absl::StatusOr<HeldValue> Get(ValueKind kind, const Id& key, absl::Time now) const;

  // A revocation of this key has been stored here.
  [[nodiscard]] bool IsRevoked(absl::string_view owner) const;

  // Notes that the value was passed on at `now`, as if it had just been received.
  void Touch(ValueKind kind, const Id& key, absl::Time now);

  struct Page {
    std::vector<HeldValue> values;  // alive, in key order
    std::string next;               // where to go on; empty at the end
  };
  // Visits up to `limit` values from `from` (empty: the start) on; deletes those that have expired.
  [[nodiscard]] absl::StatusOr<Page> Sweep(absl::string_view from, size_t limit, absl::Time now);

  // Deletes lapsed claims among up to `limit` from `from` on. Returns where to go on; empty at the end.
  [[nodiscard]] absl::StatusOr<std::string> SweepClaims(absl::string_view from, size_t limit, absl::Time now);

  [[nodiscard]] size_t size() const { return values_; }

 private:
  struct Claim {
    std::string owner;
    absl::Time newest;  // date of the owner's newest record
  };

  [[nodiscard]] absl::StatusOr<std::optional<HeldValue>> Load(ValueKind kind, const Id& key) const;
  [[nodiscard]] absl::StatusOr<std::optional<Claim>> LoadClaim(const Id& key) const;
  // Checks `value` against the claim on its key, and adds the claim that it makes to `batch`.
  [[nodiscard]] absl::StatusOr<bool> CheckClaim(const Value& value, absl::Time now, storage::Batch* batch) const;
  // Adds the deletion of every value of `owner` to `batch`; returns how many.
  [[nodiscard]] absl::StatusOr<size_t> Evict(absl::string_view owner, storage::Batch* batch) const;

  storage::Store* const store_;
  const size_t max_values_;
  absl::Status health_;
  size_t values_ = 0;
  size_t claims_ = 0;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_VALUE_STORE_H_
