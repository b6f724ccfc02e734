// Who keeps a place under a key that many owners share: kSeats owners a key, one value each.
//
// The attacker: keys cost nothing, so he can sign adverts of one capability, or of one relay shard, for any number of
// owners, and wants them to push out everyone else's. Neither obvious rule stands that. First come, first served lets
// him fill a key before others come, and keeps every seat that becomes free from newcomers for ever. A fair lot gives n
// honest owners among his m only n / (n + m) of the seats. So, once a key is full, half goes by each:
//
//   kSeniorSeats   are those of the owners that this node has had the longest without a break. However many come
//                  later, and whatever ids they have made, they push out none of these.
//   the others     are drawn by lot: of all who ask, those with the smallest SHA-256(this node ‖ key ‖ owner) stay.
//                  So a key that was squatted before anyone else came still lets honest owners in, in proportion; and
//                  as nodes draw different lots, each holds another sample of an overfull key, of which a reader who
//                  asks ten nodes sees the most.
//
// A lot can be mined, at one key pair a try, for one node: whoever makes t ids has the smallest of t lots. That wins
// seats of the second half only, and of the nodes nearest to a key each must be mined for by itself. Not defended: who
// squats a key from its first day keeps the senior half as long as he renews. Where it matters whose adverts they are,
// readers choose by name and AgentId.
//
// Values that have expired give way before anyone else. Seniority does not travel: a node that has just taken over a
// key takes all that it is given as equally old, and lots decide among them.
//
// Not thread-safe. About 100 bytes a value.
#ifndef DOTAGENT_COMMON_DHT_SEATS_H_
#define DOTAGENT_COMMON_DHT_SEATS_H_

#include <cstddef>
#include <map>
#include <optional>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/dht/types.h"
#include "common/dht/value_type.h"

namespace dotagent::dht {

inline constexpr size_t kSeats = 256;
inline constexpr size_t kSeniorSeats = kSeats / 2;

class Seats {
 public:
  explicit Seats(const Id& self) : self_(self) {}

  struct Seat {
    absl::Time since;  // this node has had a value of the owner's, without a break
    absl::Time expires;
  };

  // Whose value under the same key must go so that `newcomer`'s can be kept; none: there is room. ResourceExhausted
  // (LIMIT) if it is the newcomer who has no place. Of a slot that has a seat already: none. About 60 µs where the key
  // is full.
  [[nodiscard]] absl::StatusOr<std::optional<Slot>> WhoGivesWay(const Slot& newcomer, absl::Time now) const;

  // Since when the owner has had a seat; none if he has none.
  [[nodiscard]] std::optional<absl::Time> Since(const Slot& slot) const;

  // Takes or renews a seat.
  void Take(const Slot& slot, const Seat& seat) { by_key_[{slot.kind, slot.key}][slot.owner] = seat; }
  void Leave(const Slot& slot);

 private:
  using Owners = absl::btree_map<Id, Seat>;

  [[nodiscard]] Id LotOf(const Slot& slot) const;

  const Id self_;
  std::map<std::pair<ValueKind, Id>, Owners> by_key_;  // none is empty
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_SEATS_H_
