// Relayed circuits, as a node sees them: a raw TCP connection to a relay's public port that the relay joins to another.
//
// On the wire (docs/protocol.md): the claimant sends 0x00, the magic "dotagent-circuit/1" and a 32-byte voucher, which
// the relay gave it over the control protocol (relay_client.h). The relay answers one byte, 0x01 once the other end has
// claimed too and bytes flow, or 0x02 if it refuses, and closes. From there on the two ends run an ordinary session
// through it: the caller as dialler, the holder of the reservation as listener. So the relay sees ciphertext only, and
// posing as the peer gains it nothing: the session proves the keys.
#ifndef DOTAGENT_COMMON_P2P_CIRCUIT_H_
#define DOTAGENT_COMMON_P2P_CIRCUIT_H_

#include <asio/any_io_executor.hpp>
#include <asio/ip/tcp.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/p2p/multiaddr.h"
#include "common/p2p/operation.h"

namespace dotagent::p2p {

inline constexpr char kCircuitFirstByte = '\x00';
inline constexpr absl::string_view kCircuitMagic = "dotagent-circuit/1";
inline constexpr size_t kVoucherSize = 32;
inline constexpr size_t kCircuitHeaderSize = 1 + kCircuitMagic.size() + kVoucherSize;
inline constexpr char kCircuitJoined = '\x01';
inline constexpr char kCircuitRefused = '\x02';

// The header that claims `voucher`.
[[nodiscard]] std::string CircuitHeader(absl::string_view voucher);

// A connection on a relay's port whose header has been read: what Node::ServeCircuits hands over. Give it to Splice
// (splice.h) together with the other end, or Refuse it. Counts against the node's connection limits as long as it
// lives; closes when destroyed. Move-only.
class CircuitSocket {
 public:
  // `early`: bytes that came after the header. `slot`: its place in the limits.
  CircuitSocket(asio::ip::tcp::socket socket, std::string early, std::shared_ptr<void> slot)
      : socket_(std::move(socket)), early_(std::move(early)), slot_(std::move(slot)) {}
  CircuitSocket(CircuitSocket&&) = default;
  CircuitSocket& operator=(CircuitSocket&&) = default;

  [[nodiscard]] asio::ip::tcp::socket& socket() { return socket_; }
  [[nodiscard]] std::string TakeEarly() { return std::exchange(early_, std::string()); }
  // Text of the remote IP address, for limits and logs; empty if the peer has gone.
  [[nodiscard]] std::string remote_address() const;

  // Answers kCircuitRefused, as far as that needs no waiting, and closes.
  void Refuse();

 private:
  asio::ip::tcp::socket socket_;
  std::string early_;
  std::shared_ptr<void> slot_;
};

// Dials the relay's transport address in `relay`, claims `voucher` and waits until the circuit is joined; `done` gets
// the raw socket. PermissionDenied (NO_RESERVATION) if the relay refuses the voucher, Unavailable if it cannot be
// reached or hangs up. Has no deadline of its own: cancel it.
[[nodiscard]] std::shared_ptr<Operation> ClaimCircuit(const asio::any_io_executor& executor, const Multiaddr& relay,
                                                      absl::string_view voucher,
                                                      std::function<void(absl::StatusOr<asio::ip::tcp::socket>)> done);

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_CIRCUIT_H_
