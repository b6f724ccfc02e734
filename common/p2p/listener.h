// The listening socket of a node's public port: takes connections in, within limits, and sorts them by their first
// byte.
//
// Defends against a flood of connections (limits in all and an address; IPv6 counts by /64, which is what one customer
// gets) and against those that connect and say nothing (a deadline for the first bytes). Everything that is turned away
// is counted by cause.
#ifndef DOTAGENT_COMMON_P2P_LISTENER_H_
#define DOTAGENT_COMMON_P2P_LISTENER_H_

#include <asio/io_context.hpp>
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
  [[nodiscard]] Admission Admit(const asio::ip::address& from);
  [[nodiscard]] size_t taken() const { return taken_; }

 private:
  const size_t in_all_;
  const size_t per_address_;
  size_t taken_ = 0;
  absl::flat_hash_map<std::string, size_t> by_address_;
};

struct ListenerOptions {
  size_t max_connections = 4096;
  size_t max_connections_per_address = 1024;
  absl::Duration first_bytes_timeout = absl::Seconds(10);
  // A session that begins: its first bytes were read already.
  std::function<void(asio::ip::tcp::socket socket, std::string early, std::shared_ptr<void> slot)> on_session;
  std::function<void(CircuitSocket socket, std::string voucher)> on_circuit;
  // `cause`: "connections", "address", "first_bytes", "deadline" or "accept".
  std::function<void(absl::string_view cause)> on_refused;
};

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(asio::io_context& context, ListenerOptions options);

  // InvalidArgument (BAD_ADDRESS) unless the host is an IP address, Unavailable if the system refuses to bind.
  [[nodiscard]] absl::Status Listen(const Multiaddr& address);
  // Closes the port and all that has not been handed over. Idempotent; no callback comes after it.
  void Close();
  // Where it listens; only after Listen.
  [[nodiscard]] asio::ip::tcp::endpoint endpoint() const { return endpoint_; }

 private:
  class Newcomer;
  void Accept();
  void OnAccepted(asio::ip::tcp::socket socket);
  void PauseThenAccept();
  void Refuse(absl::string_view cause);
  void ReadFirstBytes(const std::shared_ptr<Newcomer>& newcomer);
  void Sort(const std::shared_ptr<Newcomer>& newcomer);
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
