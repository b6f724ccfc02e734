// One dial of a peer: its addresses one after the other, direct ones first, until a session stands.
#ifndef DOTAGENT_COMMON_P2P_PEER_DIAL_H_
#define DOTAGENT_COMMON_P2P_PEER_DIAL_H_

#include <asio/any_io_executor.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/p2p/connection.h"
#include "common/p2p/multiaddr.h"
#include "common/p2p/node.h"
#include "common/p2p/operation.h"

namespace dotagent::p2p {

// What a dial needs of its node.
class DialHost {
 public:
  virtual ~DialHost() = default;
  [[nodiscard]] virtual const asio::any_io_executor& loop() = 0;
  // Runs a session on `socket` as its dialler.
  virtual std::shared_ptr<Connection> StartDialled(asio::ip::tcp::socket socket,
                                                   const std::optional<crypto::PublicKey>& expected, bool relayed,
                                                   Connection::ReadyCallback ready) = 0;
  virtual void OpenControlStream(const Multiaddr& relay, StreamCallback done) = 0;
};

// Addresses of one peer that a dial tries at most.
inline constexpr size_t kMaxDialAddresses = 32;

class PeerDial : public std::enable_shared_from_this<PeerDial> {
 public:
  // `timeout` is for an address; a relayed one gets twice as much, since two sessions and a claim are made.
  PeerDial(std::weak_ptr<DialHost> host, std::optional<crypto::PublicKey> key, absl::Duration timeout,
           Connection::ReadyCallback done);

  // Adds addresses that it does not have yet: those of another caller who wants the same peer.
  void AddAddresses(const std::vector<Multiaddr>& addresses);
  void Start();
  // Ends with a session that has come about otherwise (the peer dialled us meanwhile).
  void Use(const std::shared_ptr<Connection>& connection);
  // Gives up; `done` gets `why`. Idempotent.
  void Fail(const absl::Status& why);

 private:
  void Next();
  void TryDirect(const Multiaddr& address);
  void TryRelayed(const Multiaddr& address);
  void RunSession(absl::StatusOr<asio::ip::tcp::socket> socket, bool relayed);
  void OnAddressFailed(const absl::Status& why);
  void StopAttempt();
  void Finish(absl::StatusOr<std::shared_ptr<Connection>> result);
  // Wraps a callback of the current attempt: it is ignored once that is over.
  template <typename Callback>
  [[nodiscard]] auto InAttempt(Callback callback);

  const std::weak_ptr<DialHost> host_;
  const std::optional<crypto::PublicKey> key_;
  const absl::Duration timeout_;
  Connection::ReadyCallback done_;
  std::vector<Multiaddr> known_;
  std::deque<Multiaddr> direct_;   // still to be tried
  std::deque<Multiaddr> relayed_;  // still to be tried, after those
  std::string failures_;

  Multiaddr current_;
  std::optional<crypto::PublicKey> expected_;
  uint64_t attempt_ = 0;
  std::optional<asio::steady_timer> timer_;
  std::shared_ptr<Operation> operation_;
  std::shared_ptr<Connection> handshake_;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_PEER_DIAL_H_
