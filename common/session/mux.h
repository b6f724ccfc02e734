// Many streams over one ordered, authenticated pipe: /dotagent/mux/1.0.0, as a state machine. Frames in and frames out
// (frame.h); sealing them is transport.h's.
//
// A stream's first bytes, from who opened it, are a varint length (base/varint.h) and that many printable bytes: the
// protocol it speaks. Nothing answers; a listener that does not know the protocol resets the stream. Streams are opened
// in the order of their ids.
//
// An end that resets a stream sends RESET_STREAM for its direction and STOP_SENDING for the other; who receives either
// treats both directions as gone and answers with its own RESET_STREAM. A stream is forgotten once both directions have
// ended on the wire, and only then makes room for another in the peer's limit, so a peer cannot make us remember more
// streams than we allow it; that an id was used is known from its being below the next one.
//
// Departure from RFC 9000 §3.5: there STOP_SENDING stops one direction and the other goes on. Here it ends the stream,
// and no call stops one direction alone: a call whose deadline is over, a channel or an inbox that is taken down has no
// use for half a stream, and all of them rely on one Reset, sent by either end, to end what both hold. An end that only
// has nothing more to say closes its direction (CloseWrite) instead.
//
// How many streams the peer may have open begins with `ours.max_streams` and doubles when it uses more than half of
// them, as far as `most_streams` and the budget of windows allow: a stream is memory, too. Of those that the peer
// allows us we keep a sixteenth of the first ones, at least 16, for calls (StreamUse::kCall): any other stream is
// refused (LIMIT) once no more than these are left. A peer that allows fewer than 64 leaves nothing to keep.
//
// A reader that is slow on one stream never stops another (mux_slow_readers.cc): a stream's window is at most half of
// the connection's once it has grown, and where streams together leave too little of the connection's, what lies unread
// in slow ones is taken out of it and charged to the budget. What that does not take is reset.
//
// Defends against a peer that overruns its credit or its streams, reopens or skips ids, sends after its end, lies about
// a final size, or spends our time on frames that change nothing. Such an error ends the session; end_code() says why.
#ifndef DOTAGENT_COMMON_SESSION_MUX_H_
#define DOTAGENT_COMMON_SESSION_MUX_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/session/frame.h"
#include "common/session/libp2p_noise.h"
#include "common/session/message.h"
#include "common/session/scheduler.h"
#include "common/session/stream_state.h"
#include "common/session/types.h"
#include "common/session/window_budget.h"

namespace dotagent::session {

struct MuxOptions {
  Role role = Role::kDialler;
  MuxParameters ours;    // what the peer may send at first
  MuxParameters theirs;  // what it lets us send at first
  // How far our windows may grow: a window doubles when the peer says that it waits for credit and at most half of the
  // window waits to be read, or all of it has been read after that. So a reader that never catches up keeps a small
  // one. What lies unread in slow streams besides is at most max_connection_window again.
  uint64_t max_stream_window = 0;      // no less than ours.stream_window
  uint64_t max_connection_window = 0;  // no less than ours.connection_window
  uint64_t most_streams = 0;           // no less than ours.max_streams
  size_t send_buffer = 256 * 1024;
  // What the window of all streams together and their number grow by is taken from it, and what lies unread in slow
  // ones; none: no limit but those above.
  std::shared_ptr<WindowBudget> window_budget = nullptr;
};

// Not thread-safe. The calls about streams are those of session.h, which documents them.
class Mux {
 public:
  // Frames that change nothing, a minute, before the peer is taken for hostile.
  static constexpr uint64_t kMaxIdleFrames = 10'000;
  // Of its own memory, about, for a stream that has nothing to say; what one more of the peer's costs the budget.
  static constexpr uint64_t kStreamCost = 1024;
  // Whoever reads, in this time, less than a quarter of what waits at its beginning is slow.
  static constexpr absl::Duration kSlow = absl::Milliseconds(500);
  // Streams that may be remembered at once, ours and the peer's.
  static constexpr size_t kMaxStreams = 65'536;
  static constexpr size_t kMaxProtocol = 255;
  // Streams that may depend on each other in a row.
  static constexpr size_t kMaxDependencyDepth = 8;

  explicit Mux(MuxOptions options);

  // Takes the frames of one message. An error is final; Aborted if the peer ended the session with a GOAWAY.
  [[nodiscard]] absl::Status OnMessage(absl::string_view frames, absl::Time now);
  // After an error: what a GOAWAY should say.
  [[nodiscard]] EndCode end_code() const { return end_code_; }

  // Appends frames to `message` until it holds about `limit` bytes, at most `limit`; the most urgent first. `limit`
  // must leave room for 1 KiB.
  void Fill(size_t limit, Message* message);
  [[nodiscard]] bool HasFrames() const;

  [[nodiscard]] std::vector<Event> TakeEvents();

  // When OnTimeout must be called; InfiniteFuture: no need.
  [[nodiscard]] absl::Time NextTimeout() const { return look_at_; }
  void OnTimeout(absl::Time now);

  [[nodiscard]] absl::StatusOr<StreamId> OpenStream(absl::string_view protocol, Priority priority,
                                                    StreamUse use = StreamUse::kOrdinary);
  [[nodiscard]] absl::StatusOr<size_t> Write(StreamId id, absl::string_view data);
  [[nodiscard]] absl::StatusOr<size_t> Write(StreamId id, const std::shared_ptr<const std::string>& data, size_t from);
  [[nodiscard]] absl::Status CloseWrite(StreamId id);
  [[nodiscard]] absl::StatusOr<ReadResult> Read(StreamId id, size_t max);
  void Reset(StreamId id, uint64_t code);
  void SetPriority(StreamId id, Priority priority);
  [[nodiscard]] absl::Status SetDependency(StreamId id, std::optional<StreamId> on);
  void GoAway();
  [[nodiscard]] size_t open_streams() const { return streams_.size() - detached_; }
  // With those that are gone for the layer above, but not yet on the wire.
  [[nodiscard]] size_t remembered_streams() const { return streams_.size(); }

 private:
  // Bytes of one direction of the whole session.
  struct Flow {
    uint64_t used = 0;
    uint64_t limit = 0;
  };

  // mux.cc: streams.
  [[nodiscard]] StreamState* Find(StreamId id);
  [[nodiscard]] absl::StatusOr<StreamState*> FindVisible(StreamId id);
  StreamState& Create(StreamId id);
  [[nodiscard]] absl::StatusOr<size_t> Room(StreamState& stream, size_t wanted) const;
  [[nodiscard]] absl::Status Depend(StreamState& stream, std::optional<StreamId> on);
  void Detach(StreamState& stream, uint64_t code);
  void Consume(StreamState& stream, size_t bytes);
  void OweCredit(StreamState& stream);
  void GrowWindowIfWanted(uint64_t unread_at_most);
  void GrowWindow();
  void GrowWindow(StreamState& stream, uint64_t unread_at_most);
  void ConsumeOfConnection(uint64_t bytes);
  void LetGo(StreamState& stream, uint64_t bytes);
  void ForgetIfOver(StreamState& stream);
  void Tell(Event::Kind kind, StreamId id, std::string protocol = "", uint64_t code = 0);

  // mux_slow_readers.cc: what one stream leaves to the others.
  void WatchReaders(absl::Time now);
  [[nodiscard]] bool Crowded() const;
  [[nodiscard]] std::vector<StreamId> SlowStreams();
  [[nodiscard]] bool Lend(StreamState& stream);
  void GiveUp(StreamState& stream);

  // mux_send.cc: frames out.
  void Owe(StreamState& stream, bool StreamState::*frame);
  void Schedule(StreamState& stream);
  void FillOpeners(size_t limit, Message* message);
  void FillControl(size_t limit, Message* message);
  void FillStreamControl(StreamState& stream, Message* message);
  void FillData(size_t limit, Message* message);
  [[nodiscard]] StreamState& NextSender(StreamId id);
  void SendData(StreamState& stream, size_t bytes, Message* message);
  [[nodiscard]] bool OwesMaxData() const;
  [[nodiscard]] bool OwesMaxStreams() const;
  [[nodiscard]] bool OwesDataBlocked() const;

  // mux_receive.cc: frames in.
  [[nodiscard]] absl::Status Violation(EndCode code, absl::string_view what);
  [[nodiscard]] absl::Status CountIdle(absl::Time now);
  [[nodiscard]] absl::Status OnFrame(const Frame& frame, absl::Time now);
  [[nodiscard]] absl::Status OnStreamFrame(const Frame& frame, absl::Time now);
  [[nodiscard]] absl::StatusOr<StreamState*> Lookup(const Frame& frame);
  [[nodiscard]] absl::StatusOr<StreamState*> Accept(StreamId id);
  void AllowMoreStreams();
  [[nodiscard]] absl::Status OnData(StreamState& stream, const Frame& frame, bool opens, absl::Time now);
  [[nodiscard]] absl::Status TakeHeader(StreamState& stream);
  [[nodiscard]] absl::Status OnReset(StreamState& stream, const Frame& frame);
  void OnStopSending(StreamState& stream, const Frame& frame);
  [[nodiscard]] absl::Status OnDataBlocked(uint64_t limit, absl::Time now);
  [[nodiscard]] absl::Status OnStreamDataBlocked(StreamState& stream, uint64_t limit, absl::Time now);
  [[nodiscard]] absl::Status OnMaxStreamData(StreamState& stream, uint64_t limit, absl::Time now);
  [[nodiscard]] absl::Status OnPriority(StreamState& stream, Priority priority, absl::Time now);
  [[nodiscard]] absl::Status OnDependency(StreamState& stream, StreamId on, absl::Time now);
  [[nodiscard]] absl::Status OnGoAway(const Frame& frame, absl::Time now);

  const MuxOptions options_;
  absl::flat_hash_map<StreamId, std::unique_ptr<StreamState>> streams_;
  size_t detached_ = 0;
  Scheduler scheduler_;           // streams with bytes that their own credit lets us send
  std::deque<StreamId> openers_;  // our streams that the peer does not know of yet, in order
  std::deque<StreamId> owing_;    // streams that owe frames other than data; may name some that are forgotten
  std::vector<Event> events_;
  EndCode end_code_ = EndCode::kNone;

  uint64_t next_own_ = 0;        // streams that we have opened, ever
  uint64_t announced_own_ = 0;   // and that the peer knows of
  uint64_t own_limit_ = 0;       // the peer's MAX_STREAMS
  uint64_t kept_for_calls_ = 0;  // of what that leaves
  uint64_t next_peer_ = 0;       // streams that the peer has opened, ever
  uint64_t forgotten_peer_ = 0;  // and that are over
  uint64_t peer_limit_ = 0;      // our MAX_STREAMS
  uint64_t allowed_ = 0;         // that it may have open at once; it only grows

  Flow send_;
  Flow receive_;
  uint64_t consumed_ = 0;  // bytes received that are no longer held here, or lent
  uint64_t lent_ = 0;      // of all streams
  uint64_t window_ = 0;    // of all streams together; it only grows
  WindowBudget::Lease lease_;
  absl::Time look_at_ = absl::InfiniteFuture();  // for slow readers
  std::optional<uint64_t> told_blocked_at_;
  uint64_t peer_blocked_at_ = 0;
  bool peer_waits_ = false;

  bool going_away_ = false;   // GoAway was called
  bool owes_goaway_ = false;  // and has not been sent
  bool peer_gone_ = false;

  uint64_t idle_frames_ = 0;
  absl::Time idle_since_ = absl::InfinitePast();
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_MUX_H_
