// The values that this node keeps for others, on disk.
//
// Tables, all of one storage::Store, besides those of claim_store.h:
//   dht/value/<slot>            a value behind a fixed header (dates, owner, signer), so that sweeping needs no parsing
//   dht/signer/<signer>/<slot>  what a key signed that is kept here, for eviction at its revocation; holds the key of
//                               the node that stored it, for its quota, and of many owners' the seat's dates
//   dht/revoked/<signer>        empty: the key is revoked
//
// where a slot is <kind>/<key>, and <kind>/<key>/<owner> for kinds of which a key has many owners' values.
//
// Defends against: taking over a name and replay of older records (claim_store.h); records of revoked keys; filling the
// disk: the number of values is bounded, of any one node's as well, and when there is no room the value farthest from
// this node's id gives way to a nearer one, so that a flood costs the values that others hold better. Revocations are
// never evicted. Under one key that many owners share there is room for a bounded number of them, which no flood can
// take from them all (seats.h). A value that it confirmed is synced; a claim alone survives the process, not the
// machine.
//
// Departure from the paper: a value lives as long as its signer said, not a fixed 24 h; passing it on does not prolong
// it.
//
// Not thread-safe. Memory: about 150 bytes a value.
#ifndef DOTAGENT_COMMON_DHT_VALUE_STORE_H_
#define DOTAGENT_COMMON_DHT_VALUE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/dht/claim_store.h"
#include "common/dht/seats.h"
#include "common/dht/types.h"
#include "common/dht/value_type.h"
#include "common/storage/store.h"

namespace dotagent::dht {

// A value as it is kept. (Value::key and Value::kind are filled in from the table's key.)
struct HeldValue {
  Value value;
  absl::Time received;  // when it was last offered to this node
};

struct ValueStoreOptions {
  size_t max_values = 1'000'000;
  // Of those, how many one other node may have stored here.
  size_t max_values_per_source = 250'000;
  NamePolicy policy;
};

class ValueStore {
 public:
  // Pointers must outlive it. Counts what is there: one pass over the signer and claim tables. If that fails, every
  // Store fails with the same error.
  ValueStore(const crypto::Signer* self, storage::Store* store, ValueStoreOptions options);

  enum class Keep {
    kValue,
    kClaimOnly,  // of a kind whose keys have owners; of others nothing is kept
  };
  // Keeps a validated value that `source` sent, or the claim that it makes; a value is on disk once it returns OK, as
  // it does also for what is already here. Returns the receipt for kinds whose keys have owners. PermissionDenied
  // (KEY_REVOKED), AlreadyExists (NAME_TAKEN), FailedPrecondition (SUPERSEDED), ResourceExhausted (LIMIT), or the
  // disk's Unavailable (STORAGE). A revocation evicts every other value of its signer.
  [[nodiscard]] absl::StatusOr<std::optional<Receipt>> Store(const Value& value, Keep keep,
                                                             const crypto::PublicKey& source, absl::Time now);

  // NotFound if there is none, or it has expired. Of kinds of which a key has one value.
  [[nodiscard]] absl::StatusOr<HeldValue> Get(ValueKind kind, const Id& key, absl::Time now) const;

  // Of kinds of which a key has many owners' values: a page of them, as ValuesAnswer has it, of up to `limit` values
  // that have not expired, whose owners come behind `after`. A cursor stays good whatever comes and goes.
  [[nodiscard]] absl::StatusOr<ValuesAnswer> GetPage(ValueKind kind, const Id& key, const std::optional<Id>& after,
                                                     size_t limit, absl::Time now) const;

  // This node's vote on whose key it is; none for kinds whose keys have no owners.
  [[nodiscard]] absl::StatusOr<std::optional<Receipt>> ReceiptFor(ValueKind kind, const Id& key, absl::Time now) const;

  // A revocation of this key has been stored here.
  [[nodiscard]] bool IsRevoked(const crypto::PublicKey& signer) const;

  // Notes that the value was passed on at `now`, as if it had just been received.
  void Touch(const Slot& slot, absl::Time now);

  // What came of asking the other witnesses about a provisional claim: it stands, as `winner`'s.
  struct Settlement {
    Id key;
    Id winner;
    Id digest;
  };
  // Of claims of one kind, in one write. Where the winner is another owner than this node thought, the loser's value
  // goes. A claim that is damaged stays provisional; if the write fails, all do.
  [[nodiscard]] absl::Status Settle(ValueKind kind, const std::vector<Settlement>& settlements, absl::Time now);

  struct Page {
    std::vector<HeldValue> values;  // alive, in key order
    std::string next;               // where to go on; empty at the end
  };
  // Visits up to `limit` values from `from` (empty: the start) on; deletes those that have expired.
  [[nodiscard]] absl::StatusOr<Page> Sweep(absl::string_view from, size_t limit, absl::Time now);

  [[nodiscard]] const ValueTypes& types() const { return types_; }
  [[nodiscard]] size_t size() const { return sources_.size(); }
  [[nodiscard]] ClaimStore& claims() { return claims_; }
  [[nodiscard]] const ClaimStore& claims() const { return claims_; }

 private:
  using Place = std::tuple<Id, ValueKind, Id>;  // a slot, but with the key's distance from this node for the key

  [[nodiscard]] absl::StatusOr<std::optional<HeldValue>> Load(const Slot& slot) const;
  // Checks that there is room for one more value, and adds the eviction of the farthest to `batch` if need be; returns
  // what is evicted.
  [[nodiscard]] absl::StatusOr<std::optional<HeldValue>> MakeRoom(const Value& value, storage::Batch* batch) const;
  // Adds the deletion of a value to `batch`.
  void Delete(const Value& value, storage::Batch* batch) const;
  // Adds the deletion of every value that `signer` signed to `batch`, and returns where they lay.
  [[nodiscard]] absl::StatusOr<std::vector<Slot>> EvictSigner(const crypto::PublicKey& signer,
                                                              storage::Batch* batch) const;
  // As MakeRoom, of the places under the value's key.
  [[nodiscard]] absl::StatusOr<std::optional<HeldValue>> MakeSeat(const Value& value, absl::Time now,
                                                                  storage::Batch* batch) const;
  [[nodiscard]] absl::Status CheckQuota(const crypto::PublicKey& source) const;
  [[nodiscard]] std::string SignerKey(const Value& value) const;
  [[nodiscard]] Place PlaceOf(const Slot& slot) const { return {self_.DistanceTo(slot.key), slot.kind, slot.owner}; }
  [[nodiscard]] Slot SlotAt(const Place& place) const;
  void NoteAdded(const Slot& slot, const crypto::PublicKey& source, const Seats::Seat& seat);
  void NoteGone(const Slot& slot);

  const crypto::PublicKey self_key_;
  const Id self_;
  storage::Store* const store_;
  const ValueStoreOptions options_;
  const ValueTypes types_;
  ClaimStore claims_;
  absl::Status health_;
  absl::btree_map<Place, crypto::PublicKey> sources_;  // who stored each value, the nearest value first
  absl::flat_hash_map<crypto::PublicKey, size_t> per_source_;
  Seats seats_;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_VALUE_STORE_H_
