// Who can be reached through this relay now: nodes that hold a reservation, and how to tell them of a caller.
//
// Defends against nodes that reserve without end: a limit in all, two a key (so that one can be renewed before the
// other is given up), a lifetime.
#ifndef DOTAGENT_SERVICES_RELAY_RESERVATIONS_H_
#define DOTAGENT_SERVICES_RELAY_RESERVATIONS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "dotagent/relay/v1/control.pb.h"

namespace dotagent::relay_service {

// The holder's stream. Both are called on the relay's loop.
struct Holder {
  // Someone wants a circuit. False: the holder does not keep up.
  std::function<bool(const relay::v1::Incoming&)> incoming;
  // The reservation has ended; nothing is called after it.
  std::function<void(const absl::Status&)> ended;
};

// Not thread-safe. `ended` may be called from inside.
class Reservations {
 public:
  Reservations(size_t max, absl::Duration lifetime) : max_(max), lifetime_(lifetime) {}

  struct Made {
    uint64_t id = 0;
    absl::Time expires;
  };
  // ResourceExhausted (LIMIT) if there are too many in all. A key's third reservation ends its first.
  [[nodiscard]] absl::StatusOr<Made> Make(const crypto::PublicKey& key, Holder holder, absl::Time now);
  // The holder has gone; `ended` is not called. No effect on an unknown id.
  void Release(uint64_t id);
  // Tells the newest reservation of `target`. NotFound (NO_RESERVATION) if there is none.
  [[nodiscard]] absl::Status Tell(const crypto::PublicKey& target, const relay::v1::Incoming& incoming);
  [[nodiscard]] bool Holds(const crypto::PublicKey& target) const { return by_key_.contains(target); }

  void EndAll(const crypto::PublicKey& key, const absl::Status& why);
  void EndAll(const absl::Status& why);
  void Expire(absl::Time now);

  [[nodiscard]] size_t size() const { return reservations_.size(); }

 private:
  struct Reservation {
    crypto::PublicKey key;
    Holder holder;
    absl::Time expires;
  };
  void End(uint64_t id, const absl::Status& why);

  const size_t max_;
  const absl::Duration lifetime_;
  uint64_t last_id_ = 0;
  absl::flat_hash_map<uint64_t, Reservation> reservations_;
  absl::flat_hash_map<crypto::PublicKey, std::deque<uint64_t>> by_key_;  // oldest first
};

}  // namespace dotagent::relay_service

#endif  // DOTAGENT_SERVICES_RELAY_RESERVATIONS_H_
