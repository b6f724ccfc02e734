// The listening socket of a node's public port: takes connections in, within limits, and sorts them by their first
// byte.
//
// Defends against a flood of connections (how often an address may connect, and how many there may be of it and in all:
// refused before anything is kept about them; IPv6 counts by /64, which is what one customer gets; no more are taken in
// than newcomers.h has time for) and against those that connect and say nothing (a deadline for the first bytes). What
// a flood costs most is connections that are dead before they are looked at, so those are closed at once, for the price
// of two system calls; and what has come with a connection is read before the loop learns of it. Everything that is
// turned away is counted by cause.
#ifndef DOTAGENT_COMMON_P2P_LISTENER_H_
#define DOTAGENT_COMMON_P2P_LISTENER_H_

#include <asio/any_io_executor.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/p2p/circuit.h"
#include "common/p2p/multiaddr.h"
#include "common/p2p/newcomers.h"

namespace dotagent::p2p {

// multistream-select's first byte: the length of "/multistream/1.0.0\n".
inline constexpr char kSessionFirstByte = '\x13';

// Counts connections in all and by address.
class ConnectionLimits : public std::enable_shared_from_this<ConnectionLimits> {
 public:
  ConnectionLimits(size_t max_in_all, size_t max_per_address) : in_all_(max_in_all), per_address_(max_per_address) {}

  enum class Refusal { kNone, kInAll, kPerAddress };
  struct Admission {
    std::shared_ptr<void> slot;  // held as long as the connection lives; nullptr if refused
    Refusal refusal = Refusal::kNone;
  };
  // `group`: address_group.h.
  [[nodiscard]] Admission Admit(const std::string& group);
  [[nodiscard]] size_t taken() const { return taken_; }

 private:
  const size_t in_all_;
  const size_t per_address_;
  size_t taken_ = 0;
  absl::flat_hash_map<std::string, size_t> by_address_;
};

struct NewSession {
  asio::ip::tcp::socket socket;
  asio::ip::tcp::endpoint remote;
  std::string early = {};                   // bytes that were read already
  std::shared_ptr<void> slot = {};          // in the connection limits, for as long as the connection lives
  std::shared_ptr<Newcomers::Place> place;  // for the handshake
};

struct ListenerOptions {
  size_t max_connections = 4096;
  size_t max_connections_per_address = 1024;
  absl::Duration first_bytes_timeout = absl::Seconds(10);
  std::shared_ptr<Newcomers> newcomers;
  // A session that begins: its first bytes were read already.
  std::function<void(NewSession session)> on_session;
  std::function<void(CircuitSocket socket, std::string voucher)> on_circuit;
  // `cause`: "gone", "connections", "address", "first_bytes", "deadline" or "accept"; more are counted by `newcomers`.
  std::function<void(absl::string_view cause)> on_refused;
};

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(const asio::any_io_executor& executor, ListenerOptions options);

  // InvalidArgument (BAD_ADDRESS) unless the host is an IP address, Unavailable if the system refuses to bind.
  [[nodiscard]] absl::Status Listen(const Multiaddr& address);
  // Closes the port and all that has not been handed over. Idempotent; no callback comes after it.
  void Close();
  // Where it listens; only after Listen.
  [[nodiscard]] asio::ip::tcp::endpoint endpoint() const { return endpoint_; }

 private:
  class Newcomer;
  void Accept();
  void TakeIn();
  void OnAccepted(int descriptor, const asio::ip::tcp::endpoint& remote);
  void PauseThenAccept(absl::Duration pause);
  void Refuse(absl::string_view cause);
  // Waits for what it has not said yet.
  void Keep(const std::shared_ptr<Newcomer>& newcomer);
  void ReadFirstBytes(const std::shared_ptr<Newcomer>& newcomer);
  // False: there is not enough to tell yet.
  [[nodiscard]] bool Sort(const std::shared_ptr<Newcomer>& newcomer);
  void TurnAway(const std::shared_ptr<Newcomer>& newcomer);
  void TakeOut(const std::shared_ptr<Newcomer>& newcomer);

  const ListenerOptions options_;
  const std::shared_ptr<ConnectionLimits> limits_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  asio::ip::tcp::endpoint endpoint_;
  absl::flat_hash_set<std::shared_ptr<Newcomer>> newcomers_;
  bool closed_ = false;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_LISTENER_H_
