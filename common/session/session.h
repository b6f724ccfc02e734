// A secure, multiplexed session between two keys, as a state machine: bytes and time in, bytes and events out.
//
// Stages, in order: multistream-select for `/noise`; the Noise_XX_25519_ChaChaPoly_SHA256 handshake of the public
// libp2p `noise` specification (2-byte lengths; the payload carries the Ed25519 key, its signature over
// "noise-libp2p-static-key:" ‖ static key, the muxer list and what the peer may send at first: libp2p_noise.h); then
// frames of `/dotagent/mux/1.0.0` (frame.h, mux.h) inside Noise transport messages (transport.h). The dialler spends
// one round trip before its first stream. Departures from libp2p: the muxer is agreed on in the handshake or not at
// all, and there is one.
//
// Under load a listener need not do the handshake's Diffie-Hellman work at once: a `gated` one says kKnock when the
// dialler's first message is there and waits for Admit, at the cost of some buffers; with a `mint` it also asks
// diallers that offer it for work of their own before that (cookie.h). Whom to admit when is its driver's business
// (p2p/handshake_gate.h).
//
// Defends against eavesdropping and tampering (Noise), a man in the middle (`expected_peer`), replay and reordering
// (nonces; the receiver's advances only after authentication succeeds), a peer that sends more than it was allowed
// (credit), opens streams without end (limits) or never rekeys (refused). An error or a slow reader on one stream never
// stops another: what the reader leaves is taken out of their credit within a second or two; an error of the session is
// final.
//
//   Session a({.role = Role::kDialler, .identity = &alice, .random = &random}, now);
//   while (connected) { write(a.TakeOutput()); a.Receive(read(), now); for (const Event& e : a.TakeEvents()) …; }
//
// Not thread-safe. Memory: at most max_connection_window for all that has arrived and not been read, and as much again
// for what slow readers leave (mux.h); about 1 KiB and the send buffer a stream, and one message (64 KiB) that is not
// complete; an idle session keeps no buffers. Cost: docs/benchmarks.md; a stream with a short question and answer takes
// about 3 µs of a core, both ends together.
#ifndef DOTAGENT_COMMON_SESSION_SESSION_H_
#define DOTAGENT_COMMON_SESSION_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/session/cookie.h"
#include "common/session/types.h"
#include "common/session/window_budget.h"

namespace dotagent::session {

struct Options {
  Role role = Role::kDialler;
  const crypto::Signer* identity = nullptr;        // must outlive the session
  std::optional<crypto::PublicKey> expected_peer;  // any other key ends the handshake: Unauthenticated (KEY_MISMATCH)
  Random* random = nullptr;                        // must outlive the session
  uint64_t stream_window = 256 * 1024;             // bytes that the peer may send on a stream before we read, at first
  uint64_t connection_window = 1024 * 1024;        // the same for all streams together
  uint64_t max_stream_window = 4 * 1024 * 1024;  // as far as it grows for a peer that waits and a reader that does not
  uint64_t max_connection_window = 8 * 1024 * 1024;
  std::shared_ptr<WindowBudget> window_budget = nullptr;  // that it shares with others on the same thread
  uint64_t max_streams = 256;                             // streams of the peer's that may be open at once, at first
  uint64_t most_streams = 0;        // as far as that grows for a peer that uses them (mux.h); 0: not at all
  size_t send_buffer = 256 * 1024;  // bytes that Write takes on a stream before they have been sent
  absl::Duration handshake_timeout = absl::Seconds(10);
  uint64_t rekey_messages = 1000;                     // §4.1; a peer that sends more under one key is refused
  absl::Duration rekey_interval = absl::Minutes(10);  // of fresh keys, too
  // A dialler: offers to do so many bits of work for a listener under load; 0: none, and its bytes are libp2p's.
  int max_cookie_bits = 0;
  // A listener: does no Diffie-Hellman work before Admit.
  bool gated = false;
  // A gated listener: asks for so many bits of work, if the dialler offers any; 0: none. The mint must outlive the
  // session; `cookie_peer` is what tells this connection from all others.
  int cookie_bits = 0;
  const CookieMint* mint = nullptr;
  std::string cookie_peer = {};
};

// Room that holds any one message that a session makes; so a buffer of several of them is never left half empty.
inline constexpr size_t kMinOutput = 16 * 1024 + 1024 + 18;

class Session {
 public:
  Session(Options options, absl::Time now);
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  // Takes bytes from the transport, in any pieces. An error is final: send what TakeOutput still has (a GOAWAY with the
  // cause), then close the transport.
  [[nodiscard]] absl::Status Receive(absl::string_view bytes, absl::Time now);

  // Writes bytes for the transport to `out`, which must have room for kMinOutput; returns how many, 0 if there is
  // nothing to send. Ciphertext is made here, so whatever is most urgent now goes first.
  [[nodiscard]] size_t TakeOutput(absl::Span<char> out, absl::Time now);
  // The same as a string, of at most about `max` bytes.
  [[nodiscard]] std::string TakeOutput(size_t max, absl::Time now);
  [[nodiscard]] bool HasOutput() const;

  // A gated listener, after kKnock: does what the handshake costs. Errors as Receive's; FailedPrecondition if there was
  // no kKnock, or it was called before.
  [[nodiscard]] absl::Status Admit(absl::Time now);
  // A dialler, after kWorkAsked: tries `attempts` hashes. True once there is nothing more to do: the proof is part of
  // the output, or the handshake is past it.
  [[nodiscard]] bool WorkOnCookie(uint64_t attempts);

  // What has happened since the last call.
  [[nodiscard]] std::vector<Event> TakeEvents();

  // When OnTimeout must be called unless something else happens first; InfiniteFuture if never.
  [[nodiscard]] absl::Time NextTimeout() const;
  // DeadlineExceeded if the handshake took too long; the session is then over.
  [[nodiscard]] absl::Status OnTimeout(absl::Time now);

  // The transport gave no more bytes: what that means. Unavailable, or DataLoss (PROTOCOL) inside a message, which
  // whoever cut it off may have wanted; the session is as it was.
  [[nodiscard]] absl::Status TransportEnded() const;

  // A listener: whether it has asked its dialler for work.
  [[nodiscard]] bool work_asked() const;
  [[nodiscard]] bool established() const;
  // Only once established.
  [[nodiscard]] const crypto::PublicKey& peer_key() const;
  // The Noise handshake hash, 32 bytes, the same at both ends and unique to this session (§4.1, Channel ID); once
  // established.
  [[nodiscard]] const std::string& channel_id() const;

  // Opens a stream; `protocol` (1–255 printable bytes, such as "/dotagent/dht/1.0.0") is its first line.
  // ResourceExhausted (LIMIT) over the peer's limit, the last of which are for calls; FailedPrecondition before
  // establishment or after GOAWAY.
  [[nodiscard]] absl::StatusOr<StreamId> OpenStream(absl::string_view protocol, Priority priority = Priority::kNormal,
                                                    StreamUse use = StreamUse::kOrdinary);

  // Takes as much of `data` as the send buffer has room for and returns how much; kWritable follows when there is room
  // again. NotFound if there is no such stream (any more), FailedPrecondition after CloseWrite.
  [[nodiscard]] absl::StatusOr<size_t> Write(StreamId stream, absl::string_view data);
  // The same for the bytes from `from` on, which are shared instead of copied: nobody may change them.
  [[nodiscard]] absl::StatusOr<size_t> Write(StreamId stream, const std::shared_ptr<const std::string>& data,
                                             size_t from);
  // Half close: the peer sees the end after all that was written.
  [[nodiscard]] absl::Status CloseWrite(StreamId stream);
  // Takes what has arrived, at most `max` bytes, and gives the peer that much credit back. Empty and not finished:
  // nothing yet. What arrived before the session ended can still be read after it.
  [[nodiscard]] absl::StatusOr<ReadResult> Read(StreamId stream, size_t max);
  // Ends both directions at once; nothing more is sent or delivered. No effect on an unknown stream.
  void Reset(StreamId stream, uint64_t code);
  void SetPriority(StreamId stream, Priority priority);
  // From now on `stream` sends, here and at the peer, only while `on` has nothing to send or has ended, and lends it
  // its turns meanwhile; std::nullopt: no more of that. InvalidArgument if streams would depend on each other in a
  // circle, or over Mux::kMaxDependencyDepth deep; NotFound for a stream that is not open.
  [[nodiscard]] absl::Status SetDependency(StreamId stream, std::optional<StreamId> on);
  [[nodiscard]] size_t open_streams() const;

  // Opens and accepts no more streams; those that are open go on.
  void GoAway();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_SESSION_H_
