// Circuits from their announcement to their end, and the vouchers that claim them: the books, without a socket.
//
// A voucher is 32 random bytes, good once, for 30 seconds, for one end of one circuit. Whoever presents it is that end;
// posing as it gains nothing, because the two ends then prove their keys to each other.
//
// Defends against nodes that ask for circuits without end: a limit in all and one a peer, counted for caller and target
// alike and from the announcement on.
#ifndef DOTAGENT_SERVICES_RELAY_CIRCUITS_H_
#define DOTAGENT_SERVICES_RELAY_CIRCUITS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"

namespace dotagent::relay_service {

inline constexpr absl::Duration kVoucherLifetime = absl::Seconds(30);

struct CircuitLimits {
  uint64_t max_circuits = 1024;
  uint64_t max_per_peer = 64;
};

// Not thread-safe.
class Circuits {
 public:
  Circuits(Random& random, const CircuitLimits& limits) : random_(random), limits_(limits) {}

  struct Announced {
    uint64_t id = 0;
    std::string caller_voucher;  // 32 bytes
    std::string target_voucher;  // 32 bytes
    absl::Time expires;
  };
  // ResourceExhausted (LIMIT) says which limit.
  [[nodiscard]] absl::StatusOr<Announced> Announce(const crypto::PublicKey& caller, const crypto::PublicKey& target,
                                                   absl::Time now);

  struct Claimed {
    uint64_t id = 0;
    bool complete = false;  // the other end has claimed too
  };
  // Spends a voucher. NotFound if it is unknown, spent or late.
  [[nodiscard]] absl::StatusOr<Claimed> Claim(absl::string_view voucher, absl::Time now);

  // No effect on an unknown id.
  void Close(uint64_t id);
  // Closes circuits whose vouchers lapsed before both ends came; returns their ids.
  std::vector<uint64_t> Expire(absl::Time now);
  // Those that `peer` is an end of.
  [[nodiscard]] std::vector<uint64_t> Of(const crypto::PublicKey& peer) const;

  // Announced or open.
  [[nodiscard]] size_t size() const { return circuits_.size(); }

 private:
  struct Circuit {
    crypto::PublicKey caller;
    crypto::PublicKey target;
    absl::Time expires;
    std::vector<std::string> unclaimed;  // vouchers; empty once it is open
  };
  [[nodiscard]] bool HasRoom(const crypto::PublicKey& peer) const;
  void Uncount(const crypto::PublicKey& peer);

  Random& random_;
  const CircuitLimits limits_;
  uint64_t last_id_ = 0;
  absl::flat_hash_map<uint64_t, Circuit> circuits_;
  absl::flat_hash_map<std::string, uint64_t> vouchers_;
  absl::flat_hash_map<crypto::PublicKey, uint64_t> per_peer_;
};

}  // namespace dotagent::relay_service

#endif  // DOTAGENT_SERVICES_RELAY_CIRCUITS_H_
