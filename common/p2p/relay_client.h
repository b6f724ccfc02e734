// The client's side of a relay's control protocol (protos/dotagent/relay/v1/control.proto): asking for a circuit to a
// peer, and holding a reservation so that peers can ask for circuits to this node.
//
// The relay is not trusted: what it says is size-checked, circuits that it announces are bounded, and whoever comes
// through one must still prove its key.
#ifndef DOTAGENT_COMMON_P2P_RELAY_CLIENT_H_
#define DOTAGENT_COMMON_P2P_RELAY_CLIENT_H_

#include <asio/any_io_executor.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/p2p/multiaddr.h"
#include "common/p2p/operation.h"
#include "common/p2p/stream.h"

namespace dotagent::relay::v1 {
class ControlEvent;
}  // namespace dotagent::relay::v1

namespace dotagent::p2p {

inline constexpr char kRelayProtocolId[] = "/dotagent/relay/1.0.0";
inline constexpr size_t kMaxControlMessage = 1024;

// Opens a control stream to the relay.
using OpenControl = std::function<void(std::function<void(absl::StatusOr<std::shared_ptr<Stream>>)>)>;

// Asks for a circuit to `target`; `done` gets the voucher that claims it (ClaimCircuit), or the relay's refusal with
// its code, message and reason. Has no deadline of its own: cancel it.
[[nodiscard]] std::shared_ptr<Operation> RequestCircuit(const OpenControl& open, const crypto::PublicKey& target,
                                                        std::function<void(absl::StatusOr<std::string>)> done);

struct ReservationOptions {
  Multiaddr relay;  // with its peer
  OpenControl open;
  const Clock* clock = nullptr;
  Random* random = nullptr;
  absl::Duration claim_timeout = absl::Seconds(10);  // for one incoming circuit
  absl::Duration first_pause = absl::Milliseconds(500);
  absl::Duration longest_pause = absl::Seconds(30);
  std::function<void(bool held)> changed;
  // A circuit has been joined: run a session on it as the listener.
  std::function<void(asio::ip::tcp::socket)> on_circuit;
};

// Keeps a reservation at one relay: makes it, renews it at two thirds of its life, makes it anew with growing, jittered
// pauses when it is lost, and claims the circuits that the relay announces.
class Reservation : public std::enable_shared_from_this<Reservation> {
 public:
  Reservation(const asio::any_io_executor& executor, ReservationOptions options);
  void Start();
  // Gives it up. No callback comes after it. Idempotent.
  void Stop();

 private:
  struct Incoming;
  using Reader = std::shared_ptr<MessageReader>;
  void Reserve();
  void OnStream(const std::shared_ptr<Stream>& stream);
  void ReadEvents(const Reader& reader);
  // false: the event was the reader's last.
  [[nodiscard]] bool OnEvent(const Reader& reader, const relay::v1::ControlEvent& event);
  void OnReserved(const Reader& reader, absl::Time expires);
  void OnLost(const Reader& reader);
  void Claim(const std::string& voucher);
  void TryAgainLater();
  void After(absl::Duration delay);
  void OnTimer();
  void SetHeld(bool held);

  const asio::any_io_executor executor_;
  const ReservationOptions options_;
  asio::steady_timer timer_;
  Reader held_by_;      // the stream that the reservation lives on
  Reader asked_by_;     // the one on which an answer is awaited
  uint64_t asked_ = 0;  // counts Reserve calls, to tell a late stream
  bool asking_ = false;
  absl::flat_hash_set<std::shared_ptr<Incoming>> incoming_;
  absl::Duration pause_;
  bool held_ = false;
  bool stopped_ = false;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_RELAY_CLIENT_H_
