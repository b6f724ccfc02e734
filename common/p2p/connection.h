// A session on a TCP socket: reads and writes the socket, keeps the session's timers, and turns its events into
// streams.
//
// Lives as long as its owner keeps it or an operation of the socket is under way; Close ends the operations. Works on
// one thread, its io_context's.
#ifndef DOTAGENT_COMMON_P2P_CONNECTION_H_
#define DOTAGENT_COMMON_P2P_CONNECTION_H_

#include <array>
#include <asio/any_io_executor.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/p2p/calls.h"
#include "common/p2p/newcomers.h"
#include "common/p2p/session_stream.h"
#include "common/p2p/stream.h"
#include "common/session/session.h"
#include "common/telemetry/metrics.h"

namespace dotagent::p2p {

class Connection;

// Whom a connection tells. Called on the loop.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  // A dialler of ours is ready for the costly part of the handshake, having shown `bits` of work: Admit when it is its
  // turn. Only if its session is gated.
  virtual void OnKnock(const std::shared_ptr<Connection>& connection, uint64_t bits) = 0;
  // The handshake is over; its peer's key is proved.
  virtual void OnEstablished(const std::shared_ptr<Connection>& connection) = 0;
  // The peer opened a stream of `protocol`. Returns what takes it, which must stay where it is as long as the owner
  // lives; or nullptr: the stream is then reset as unknown.
  [[nodiscard]] virtual const Served* HandlerOf(const std::string& protocol) = 0;
  // No new streams from now on: the connection is closed, or about to be.
  virtual void OnRetired(const std::shared_ptr<Connection>& connection) = 0;
  // Closed: comes once, last, and never from inside a call into the connection but Close and Drop.
  virtual void OnClosed(const std::shared_ptr<Connection>& connection, const absl::Status& why) = 0;
};

// What the connections of a node share.
struct ConnectionContext {
  std::weak_ptr<ConnectionOwner> owner;
  const Clock* clock = nullptr;
  absl::Duration idle_timeout = absl::InfiniteDuration();
  telemetry::Counter* received = nullptr;  // bytes
  telemetry::Counter* sent = nullptr;      // bytes
  telemetry::Counter* given_up = nullptr;  // streams, for their slow readers
  std::shared_ptr<Newcomers> newcomers;    // charged for what is done for others' handshakes
  // Where what is more than a message or two is read into, one socket at a time.
  std::vector<char> read_buffer = std::vector<char>(64 * 1024);
  // What a session says next, on its way into its socket.
  std::vector<char> write_buffer = std::vector<char>(4 * session::kMinOutput);
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using ReadyCallback = std::function<void(absl::StatusOr<std::shared_ptr<Connection>>)>;

  // `early`: bytes that were read from the socket already. `slot`: its place in the connection limits.
  Connection(asio::ip::tcp::socket socket, session::Options options, bool relayed, std::shared_ptr<void> slot,
             std::shared_ptr<ConnectionContext> context);

  // Before Start: the place of its handshake, held until that is over.
  void Hold(std::shared_ptr<Newcomers::Place> place) { place_ = std::move(place); }
  [[nodiscard]] const std::shared_ptr<Newcomers::Place>& place() const { return place_; }
  // After OnKnock.
  void Admit();

  // Call once, right after construction. `ready` (may be null) learns how the handshake ended, later.
  void Start(std::string early, ReadyCallback ready);

  // As session::Session::OpenStream; Unavailable once closed.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Stream>> OpenStream(const std::string& protocol,
                                                                   session::Priority priority);

  // Makes a unary call; see Calls::Make.
  void Call(const CallOptions& options, absl::string_view request, CallCallback done);

  // Ends the session at once: streams fail with `why`. What the session still has to say is sent as far as that needs
  // no waiting. Idempotent.
  void Close(const absl::Status& why);

  [[nodiscard]] bool relayed() const { return relayed_; }
  [[nodiscard]] bool dialled() const { return dialled_; }
  // New streams can be opened.
  [[nodiscard]] bool usable() const { return !closed_ && !retired_ && peer_key_.has_value(); }
  // Known once the handshake is over; stays known.
  [[nodiscard]] const std::optional<crypto::PublicKey>& peer_key() const { return peer_key_; }

  // For SessionStream and Calls.
  [[nodiscard]] session::Session& session() { return session_; }
  [[nodiscard]] Calls& calls() { return calls_; }
  [[nodiscard]] asio::any_io_executor executor() { return socket_.get_executor(); }
  // Moves the session's events and output on, soon: many calls in a row cost one pass.
  void ScheduleFlush();
  // The stream has ended, or ends now.
  void Forget(session::StreamId id);
  void Reset(session::StreamId id, uint64_t code);
  // Nobody holds the stream any more; its output goes on, its input is thrown away until the peer ends it.
  void Linger(session::StreamId id);

 private:
  void WaitReadable();
  void OnReadable(size_t size);
  void OnReadError(const std::error_code& error);
  void Receive(absl::string_view bytes);
  void OnReceived(const absl::Status& status);
  // Runs `work`; while this is a newcomer, newcomers are charged for it.
  template <typename Work>
  void Charged(const Work& work) {
    if (place_ == nullptr) return work();
    context_->newcomers->Measure(work);
  }
  void WorkOnCookie();
  void Flush();
  void HandleEvents();
  void HandleEvent(const session::Event& event);
  void OnPeerStream(session::StreamId id, const std::string& protocol);
  void OnStreamGone(session::StreamId id, const absl::Status& why);
  bool Write();
  void WaitWritable();
  void ArmTimer();
  void OnTimer();
  void Retire();
  void DiscardInput(session::StreamId id);
  [[nodiscard]] absl::Time Now() const;
  [[nodiscard]] absl::Time IdleDeadline() const;
  [[nodiscard]] std::shared_ptr<SessionStream> Find(session::StreamId id);

  asio::ip::tcp::socket socket_;
  asio::steady_timer timer_;
  const bool relayed_;
  const bool dialled_;
  const std::shared_ptr<ConnectionContext> context_;
  std::shared_ptr<void> slot_;
  std::shared_ptr<Newcomers::Place> place_;
  std::optional<asio::steady_timer> work_;  // between pieces of work on a cookie
  session::Session session_;
  std::optional<crypto::PublicKey> peer_key_;
  ReadyCallback ready_;
  absl::flat_hash_map<session::StreamId, std::weak_ptr<SessionStream>> streams_;
  Calls calls_;
  absl::flat_hash_map<session::StreamId, size_t> lingering_;  // with the bytes thrown away so far
  // A read that waits: asio then learns from a short one that there is no more, and spares a system call a read. Most
  // messages fit.
  std::array<char, 1536> input_;
  std::string unwritten_;  // what the socket had no room for
  absl::Time last_used_;
  absl::Time armed_for_ = absl::InfiniteFuture();
  bool writing_ = false;
  bool flush_scheduled_ = false;
  bool flushing_ = false;  // what is written now goes out at the end of this pass
  bool retired_ = false;
  bool closed_ = false;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_CONNECTION_H_
