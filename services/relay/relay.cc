#include "services/relay/relay.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/telemetry/log.h"

namespace dotagent::relay_service {
namespace {

// Causes in dotagent_relay_dropped_total.
constexpr char kReservationLimit[] = "reservation_limit";
constexpr char kCircuitLimit[] = "circuit_limit";
constexpr char kNoReservation[] = "no_reservation";
constexpr char kHolderBusy[] = "holder_busy";
constexpr char kRevoked[] = "revoked";
constexpr char kBadVoucher[] = "bad_voucher";
constexpr char kUnclaimed[] = "unclaimed";
constexpr char kByteLimit[] = "byte_limit";
constexpr char kTimeLimit[] = "time_limit";
constexpr char kBroken[] = "broken";

absl::Status Revoked() {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyRevoked, "the key has been revoked");
}

absl::Status ShuttingDown() {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                         "this relay is shutting down; use another one");
}

}  // namespace

Relay::Relay(const Parts& parts)
    : parts_(parts),
      reservations_(parts.limits.max_reservations, parts.limits.reservation_lifetime),
      circuits_(parts.random, parts.limits.circuits),
      reservation_gauge_(parts.metrics.AddGauge("dotagent_relay_reservations", "Reservations held.")),
      circuit_gauge_(parts.metrics.AddGauge("dotagent_relay_circuits", "Circuits announced or open.")),
      bytes_(parts.metrics.AddCounter("dotagent_relay_bytes_total", "Bytes carried, both directions together.")) {
  // From the start, so that a rate over them sees the first drop.
  for (const char* cause : {kReservationLimit, kCircuitLimit, kNoReservation, kHolderBusy, kRevoked, kBadVoucher,
                            kUnclaimed, kByteLimit, kTimeLimit, kBroken}) {
    parts_.metrics
        .AddCounter("dotagent_relay_dropped_total", "Reservations and circuits refused or cut, by cause.",
                    {{"cause", cause}})
        .Increment(0);
  }
}

Relay::~Relay() {
  for (const auto& [_, circuit] : running_) circuit->Cancel();
}

void Relay::Drop(const char* cause) {
  parts_.metrics
      .AddCounter("dotagent_relay_dropped_total", "Reservations and circuits refused or cut, by cause.",
                  {{"cause", cause}})
      .Increment();
}

void Relay::UpdateGauges() {
  reservation_gauge_.Set(static_cast<double>(reservations_.size()));
  circuit_gauge_.Set(static_cast<double>(circuits_.size()));
  if (idle_ && circuits_.size() == 0) std::exchange(idle_, nullptr)();
}

absl::StatusOr<Relay::Reserved> Relay::Reserve(const crypto::PublicKey& caller, Holder holder) {
  if (parts_.is_revoked(caller)) {
    Drop(kRevoked);
    return Revoked();
  }
  if (draining_) return ShuttingDown();
  const auto made = reservations_.Make(caller, std::move(holder), parts_.clock.Now());
  if (!made.ok()) {
    Drop(kReservationLimit);
    return made.status();
  }
  UpdateGauges();
  Reserved reserved{made->id, {}};
  reserved.event.set_expires_at_ms(absl::ToUnixMillis(made->expires));
  reserved.event.set_max_circuit_bytes(parts_.limits.circuit.max_bytes);
  reserved.event.set_max_circuit_seconds(static_cast<uint32_t>(absl::ToInt64Seconds(parts_.limits.circuit.max_time)));
  return reserved;
}

void Relay::Release(uint64_t reservation) {
  reservations_.Release(reservation);
  UpdateGauges();
}

absl::StatusOr<relay::v1::CircuitReady> Relay::Connect(const crypto::PublicKey& caller, absl::string_view target) {
  ASSIGN_OR_RETURN(const crypto::PublicKey target_key, crypto::PublicKey::FromBytes(target));
  if (parts_.is_revoked(caller) || parts_.is_revoked(target_key)) {
    Drop(kRevoked);
    return Revoked();
  }
  if (!reservations_.Holds(target_key)) {
    Drop(kNoReservation);
    return reservations_.Tell(target_key, {});
  }
  const auto announced = circuits_.Announce(caller, target_key, parts_.clock.Now());
  if (!announced.ok()) {
    Drop(kCircuitLimit);
    return announced.status();
  }
  relay::v1::Incoming incoming;
  incoming.set_voucher(announced->target_voucher);
  incoming.set_caller(std::string(caller.bytes()));
  if (const absl::Status told = reservations_.Tell(target_key, incoming); !told.ok()) {
    circuits_.Close(announced->id);
    Drop(kHolderBusy);
    return told;
  }
  UpdateGauges();
  relay::v1::CircuitReady ready;
  ready.set_voucher(announced->caller_voucher);
  ready.set_expires_at_ms(absl::ToUnixMillis(announced->expires));
  return ready;
}

void Relay::Claim(p2p::CircuitSocket socket, absl::string_view voucher) {
  const auto claimed = circuits_.Claim(voucher, parts_.clock.Now());
  if (!claimed.ok()) {
    Drop(kBadVoucher);
    return socket.Refuse();
  }
  if (!claimed->complete) {
    waiting_.emplace(claimed->id, std::move(socket));
    return;
  }
  auto other = waiting_.extract(claimed->id);
  Join(claimed->id, std::move(other.mapped()), std::move(socket));
}

void Relay::Join(uint64_t circuit, p2p::CircuitSocket a, p2p::CircuitSocket b) {
  running_[circuit] = p2p::Splice(
      std::move(a), std::move(b), parts_.limits.circuit,
      [this](absl::string_view bytes) {
        relayed_bytes_ += bytes.size();
        bytes_.Increment(static_cast<double>(bytes.size()));
        parts_.tap(bytes);
      },
      [this, circuit](const absl::Status& why, uint64_t) { OnCircuitDone(circuit, why); });
}

void Relay::OnCircuitDone(uint64_t circuit, const absl::Status& why) {
  if (absl::IsResourceExhausted(why)) {
    Drop(kByteLimit);
  } else if (absl::IsDeadlineExceeded(why)) {
    Drop(kTimeLimit);
  } else if (!why.ok()) {
    Drop(kBroken);
  }
  running_.erase(circuit);
  circuits_.Close(circuit);
  UpdateGauges();
}

void Relay::OnRevoked(const crypto::PublicKey& key) {
  reservations_.EndAll(key, Revoked());
  for (const uint64_t circuit : circuits_.Of(key)) {
    Drop(kRevoked);
    circuits_.Close(circuit);
    if (auto waiting = waiting_.extract(circuit)) waiting.mapped().Refuse();
    if (auto running = running_.extract(circuit)) running.mapped()->Cancel();
  }
  UpdateGauges();
}

void Relay::Drain(std::function<void()> idle) {
  draining_ = true;
  idle_ = std::move(idle);
  reservations_.EndAll(ShuttingDown());
  UpdateGauges();
}

void Relay::Tick() {
  const absl::Time now = parts_.clock.Now();
  reservations_.Expire(now);
  for (const uint64_t circuit : circuits_.Expire(now)) {
    Drop(kUnclaimed);
    if (auto waiting = waiting_.extract(circuit)) waiting.mapped().Refuse();
  }
  UpdateGauges();
}

}  // namespace dotagent::relay_service
