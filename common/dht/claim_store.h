// Whose keys are whose, as this node has witnessed it: first-claim ownership (ARCHITECTURE §4).
//
// A claim is made by the first valid value that is stored under a key, and from then on other owners' values are
// refused. It lapses kClaimLifetime after the date of the owner's newest value, a date that only the owner can sign, so
// that replays do not prolong it; and it remembers that date, so that an older value is refused even once the newer one
// has expired here.
//
// Defends against: taking over a name; replay of older values; filling the disk (bounded number of claims); and against
// whoever reaches a newcomer before the name's owner does: a new claim is provisional until this node has asked the
// other witnesses (upkeep.h), and gives way if they say otherwise.
//
// Tables: dht/claim/<kind>/<key>        the claim
//         dht/provisional/<kind>/<key>  empty: it is provisional
//
// Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_CLAIM_STORE_H_
#define DOTAGENT_COMMON_DHT_CLAIM_STORE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/dht/types.h"
#include "common/dht/value_type.h"
#include "common/storage/store.h"

namespace dotagent::dht {

inline constexpr absl::Duration kClaimLifetime = absl::Hours(24 * 30);

class ClaimStore {
 public:
  // Both must outlive it. Counts what is there, in one pass; if that fails, so does every Stake.
  ClaimStore(storage::Store* store, const crypto::Signer* signer, size_t max_claims);

  // Checks `value` against the claim on its key, and adds to `batch` the claim that it makes or renews. The receipt
  // holds once `batch` is written; call Written then. AlreadyExists (NAME_TAKEN) if another owner holds the key,
  // FailedPrecondition (SUPERSEDED) if the owner has signed a newer value, ResourceExhausted (LIMIT).
  struct Staked {
    Receipt receipt;
    bool is_new = false;
  };
  [[nodiscard]] absl::StatusOr<Staked> Stake(const Value& value, absl::Time now, storage::Batch* batch) const;
  void Written(const Staked& staked) { claims_ += staked.is_new ? 1 : 0; }

  // The receipt of the claim on `key`; none if there is no claim, or it has lapsed.
  [[nodiscard]] absl::StatusOr<std::optional<Receipt>> ReceiptFor(ValueKind kind, const Id& key, absl::Time now) const;

  struct Witnessed {
    Receipt receipt;
    bool settled = false;  // no longer provisional
  };
  // The same with what the other witnesses have had to do with it.
  [[nodiscard]] absl::StatusOr<std::optional<Witnessed>> Find(ValueKind kind, const Id& key, absl::Time now) const;

  // Up to `limit` keys whose claims are provisional, in key order from `from` (the place after the last one seen) on.
  struct Page {
    std::vector<std::pair<ValueKind, Id>> keys;
    std::string next;  // where to go on; empty at the end
  };
  [[nodiscard]] absl::StatusOr<Page> Provisional(absl::string_view from, size_t limit) const;
  // The other witnesses have been asked: adds to `batch` that the claim stands, now as that of `winner`. His dates are
  // not known here: any value of his that is still valid may follow.
  [[nodiscard]] absl::Status Settle(ValueKind kind, const Id& key, const Id& winner, const Id& digest, absl::Time now,
                                    storage::Batch* batch) const;

  // Deletes lapsed claims among up to `limit` from `from` on. Returns where to go on; empty at the end.
  [[nodiscard]] absl::StatusOr<std::string> Sweep(absl::string_view from, size_t limit, absl::Time now);

  [[nodiscard]] size_t size() const { return claims_; }

 private:
  struct Claim {
    absl::Time newest;  // date of the owner's newest value
    bool provisional = true;
    Receipt receipt;
  };
  [[nodiscard]] static std::string Encode(const Claim& claim);
  [[nodiscard]] static absl::StatusOr<Claim> Decode(absl::string_view bytes);
  [[nodiscard]] absl::StatusOr<std::optional<Claim>> Load(ValueKind kind, const Id& key) const;

  storage::Store* const store_;
  const crypto::Signer* const signer_;
  const size_t max_claims_;
  absl::Status health_;
  size_t claims_ = 0;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_CLAIM_STORE_H_
