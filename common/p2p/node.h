// A node's public port: listens and dials, runs sessions on sockets, keeps them, and carries protocols as streams.
//
// One key, one port: the session's key is the node's key. What comes in is either a session (its first byte is
// multistream-select's 0x13) or a relay circuit being claimed (its first byte is 0x00, circuit.h). Dialling goes: a
// session that is open, then direct addresses in order, then relayed ones.
//
// Defends against a flood of connections and handshakes (a cap in all and an address, a deadline for the handshake, a
// bounded queue, a share of the loop's time: newcomers.h),
// slow readers (credit), strangers who pose as the peer that was dialled (the expected key is part of the dial), and
// peers who come back after they were sent away (SetPeerCheck).
//
// Not thread-safe: everything, callbacks included, runs on the loop; others post to it (loop.h).
// Callbacks come once, and never from inside the call that they belong to.
//
// Metrics: dotagent_p2p_sessions, dotagent_p2p_dials_total{result}, dotagent_p2p_refused_total{cause},
// dotagent_p2p_bytes_total{direction}, dotagent_p2p_window_growth_refused_total, dotagent_p2p_slow_streams_reset_total,
// and newcomers.h's.
//
//   Node node(loop.executor(), {.key = &key, .listen = "/ip4/0.0.0.0/tcp/4001", …});
//   RETURN_IF_ERROR(node.Listen());
//   node.Serve("/dotagent/dht/1.0.0", [](std::shared_ptr<Stream> s) { … });
//   node.Call(peer, "/dotagent/dht/1.0.0", request, absl::Seconds(3), [](absl::StatusOr<std::string> response) { … });
#ifndef DOTAGENT_COMMON_P2P_NODE_H_
#define DOTAGENT_COMMON_P2P_NODE_H_

#include <asio/any_io_executor.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/p2p/calls.h"
#include "common/p2p/multiaddr.h"
#include "common/p2p/newcomer_limits.h"
#include "common/p2p/stream.h"
#include "common/session/session.h"
#include "common/telemetry/metrics.h"

namespace dotagent::p2p {

// What a node lets the other ends of its sessions send before it is read, in bytes, and the streams that they may have
// open: session.h.
struct SessionWindows {
  uint64_t stream = 256 * 1024;
  uint64_t connection = 1024 * 1024;
  uint64_t max_stream = 4 * 1024 * 1024;
  uint64_t max_connection = 8 * 1024 * 1024;
  uint64_t streams = 512;
  uint64_t max_streams = 8192;
  uint64_t growth_in_all = uint64_t{1} << 30;  // of all sessions beyond what they begin with, in bytes
};

// The pointers are needed and must outlive the node.
struct NodeOptions {
  const crypto::Signer* key = nullptr;
  Random* random = nullptr;
  const Clock* clock = nullptr;
  telemetry::Metrics* metrics = nullptr;
  std::string listen = "/ip4/127.0.0.1/tcp/0";           // empty: a client that only dials
  std::vector<std::string> advertise;                    // transport multiaddrs to tell others; empty: where it listens
  size_t max_connections = 4096;                         // incoming ones
  size_t max_connections_per_address = 1024;             // incoming ones; IPv6 counts by /64
  absl::Duration dial_timeout = absl::Seconds(3);        // an address; twice as much for a relayed one
  absl::Duration handshake_timeout = absl::Seconds(10);  // for those who dial us: first bytes, then the handshake
  absl::Duration idle_timeout = absl::Minutes(5);        // a session without streams
  NewcomerLimits newcomers = {};                         // what those who dial us may cost
  SessionWindows windows = {};
};

// Whom to reach, and where.
struct PeerAddress {
  std::optional<crypto::PublicKey> key;  // none: whoever answers (bootstrap)
  std::vector<Multiaddr> addresses;      // direct ones are tried before relayed ones
};

enum class PathKind { kDirect, kRelayed };

class CircuitSocket;  // circuit.h

using StreamCallback = std::function<void(absl::StatusOr<std::shared_ptr<Stream>>)>;
// Whether there may be sessions with that peer: OK, or why not. Called on the loop, for every session: it must be
// cheap.
using PeerCheck = std::function<absl::Status(const crypto::PublicKey&)>;

class Node {
 public:
  Node(const asio::any_io_executor& executor, NodeOptions options);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Binds the listening socket. Unavailable with the address if it is in use.
  [[nodiscard]] absl::Status Listen();
  // Stops listening, resets streams, closes sessions. What waits gets Unavailable, on the loop, soon. Idempotent; the
  // destructor closes too.
  void Close();

  [[nodiscard]] const crypto::PublicKey& key() const;
  // Transport multiaddrs that others may dial (advertise, or the bound address).
  [[nodiscard]] std::vector<std::string> addresses() const;

  // Hands each stream that a peer opens for `protocol` to `handler`. A stream for a protocol that nobody serves is
  // reset.
  void Serve(const std::string& protocol, StreamHandler handler);
  // Serves unary calls: one length-prefixed request (at most `max_request` bytes) and one response a stream.
  void ServeCalls(const std::string& protocol, size_t max_request, CallHandler handler);

  // Opens a stream, dialling first if there is no session. Unavailable (UNREACHABLE) lists each address that was tried
  // and why it failed; ResourceExhausted (LIMIT) over the peer's limit, of which the last streams are for calls.
  void OpenStream(const PeerAddress& peer, const std::string& protocol, session::Priority priority,
                  StreamCallback done);
  // A unary call: opens a stream, sends `request`, reads one response of at most `max_response` bytes. DeadlineExceeded
  // after `timeout`. The request goes before what waits with less `priority`.
  void Call(const PeerAddress& peer, const std::string& protocol, std::string request, size_t max_response,
            absl::Duration timeout, CallCallback done, session::Priority priority = session::Priority::kNormal);

  // Dials (or finds an open session) and tells who answered.
  void Connect(const PeerAddress& peer, std::function<void(absl::StatusOr<crypto::PublicKey>)> done);

  // Holds a reservation at `relay` (a direct multiaddr with /p2p), renewing and redialling it with growing pauses until
  // Close, so that peers can reach this node through it. `changed` is called when it is won or lost.
  void HoldReservation(const Multiaddr& relay, std::function<void(bool held)> changed);

  // Takes over incoming raw circuits (a relay's business): gets the socket and the voucher. Without it they are
  // refused.
  using CircuitHandler = std::function<void(CircuitSocket socket, std::string voucher)>;
  void ServeCircuits(CircuitHandler handler);

  // Ends every session with `peer`, who may come back at once (SetPeerCheck).
  void Drop(const crypto::PublicKey& peer, absl::string_view why);
  // Sends away whose key `check` does not pass (revoked, say): peers that have sessions at once, others when their
  // handshake has proved the key, whoever dialled, and before a session is kept. Who is known not to pass is not
  // dialled: callbacks get what `check` says.
  void SetPeerCheck(PeerCheck check);

  // How the open session with `peer` runs; std::nullopt if there is none.
  [[nodiscard]] std::optional<PathKind> PathTo(const crypto::PublicKey& peer) const;
  [[nodiscard]] size_t open_sessions() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_NODE_H_
