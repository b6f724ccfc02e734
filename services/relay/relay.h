// The relay's logic: reservations, circuits and the joining of their ends. Knows neither gRPC nor sessions: two shells
// (shell.h for gRPC, control_stream.h for strangers' sessions) call it with the key that the caller has proved.
#ifndef DOTAGENT_SERVICES_RELAY_RELAY_H_
#define DOTAGENT_SERVICES_RELAY_RELAY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/p2p/circuit.h"
#include "common/p2p/operation.h"
#include "common/p2p/splice.h"
#include "common/telemetry/metrics.h"
#include "dotagent/relay/v1/control.pb.h"
#include "services/relay/circuits.h"
#include "services/relay/reservations.h"

namespace dotagent::relay_service {

struct Limits {
  uint64_t max_reservations = 1024;
  absl::Duration reservation_lifetime = absl::Hours(1);
  CircuitLimits circuits;
  p2p::SpliceLimits circuit;
};

// On the loop.
class Relay {
 public:
  struct Parts {
    Limits limits;
    std::function<bool(const crypto::PublicKey&)> is_revoked;
    std::function<void(absl::string_view)> tap;  // sees every byte that circuits carry
    const Clock& clock;
    Random& random;
    telemetry::Metrics& metrics;
  };
  // All parts must outlive it.
  explicit Relay(const Parts& parts);
  ~Relay();

  struct Reserved {
    uint64_t id = 0;
    relay::v1::Reserved event;
  };
  // PermissionDenied (KEY_REVOKED), Unavailable (UNREACHABLE) while draining, or as Reservations::Make.
  [[nodiscard]] absl::StatusOr<Reserved> Reserve(const crypto::PublicKey& caller, Holder holder);
  // The holder's stream has ended.
  void Release(uint64_t reservation);

  // `target`: 32 bytes, as received. NotFound (NO_RESERVATION), ResourceExhausted (LIMIT), PermissionDenied
  // (KEY_REVOKED), InvalidArgument (BAD_KEY).
  [[nodiscard]] absl::StatusOr<relay::v1::CircuitReady> Connect(const crypto::PublicKey& caller,
                                                                absl::string_view target);

  // A connection that claims an end of a circuit.
  void Claim(p2p::CircuitSocket socket, absl::string_view voucher);

  // Takes everything from a key: reservations and circuits.
  void OnRevoked(const crypto::PublicKey& key);
  // Ends reservations and makes no more, so that their holders go elsewhere. Circuits run on: `idle` is called, once,
  // when there is none (any more).
  void Drain(std::function<void()> idle);
  // Housekeeping; call about once a second.
  void Tick();

  [[nodiscard]] size_t reservations() const { return reservations_.size(); }
  [[nodiscard]] size_t circuits() const { return circuits_.size(); }
  [[nodiscard]] uint64_t relayed_bytes() const { return relayed_bytes_; }

 private:
  void Drop(const char* cause);
  void Join(uint64_t circuit, p2p::CircuitSocket a, p2p::CircuitSocket b);
  void OnCircuitDone(uint64_t circuit, const absl::Status& why);
  void UpdateGauges();

  const Parts parts_;
  Reservations reservations_;
  Circuits circuits_;
  absl::flat_hash_map<uint64_t, p2p::CircuitSocket> waiting_;               // one end has come
  absl::flat_hash_map<uint64_t, std::shared_ptr<p2p::Operation>> running_;  // both have
  uint64_t relayed_bytes_ = 0;
  bool draining_ = false;
  std::function<void()> idle_;  // who waits for the last circuit
  telemetry::Gauge& reservation_gauge_;
  telemetry::Gauge& circuit_gauge_;
  telemetry::Counter& bytes_;
};

}  // namespace dotagent::relay_service

#endif  // DOTAGENT_SERVICES_RELAY_RELAY_H_
