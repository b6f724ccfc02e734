// What a session remembers of one stream: see mux.h, whose private matter it is.
#ifndef DOTAGENT_COMMON_SESSION_STREAM_STATE_H_
#define DOTAGENT_COMMON_SESSION_STREAM_STATE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/session/byte_queue.h"
#include "common/session/frame.h"
#include "common/session/send_queue.h"
#include "common/session/types.h"

namespace dotagent::session {

struct StreamState {
  explicit StreamState(StreamId stream)
      : id(stream), unsent(kMaxFrameSize - StreamFrameOverhead(stream, kMaxFrameSize - kMaxStreamHeaderSize)) {}

  StreamId id;
  Priority priority = Priority::kNormal;  // of the direction that we send
  bool priority_is_ours = false;          // set here; the peer's PRIORITY does not change it

  // Of our direction, too: the stream that goes first, while there is one.
  std::optional<StreamId> depends_on;
  bool dependency_is_ours = false;  // set here; the peer's DEPENDENCY does not change it
  size_t dependents_depth = 0;      // at least as many streams depend on each other and on this one in a row

  // Our direction. Offsets count every byte of it, the first line included.
  SendQueue unsent;  // in blocks that make a frame each
  uint64_t sent = 0;
  size_t header_size = 0;      // of the first line, if it is ours to send
  uint64_t send_limit = 0;     // the peer's MAX_STREAM_DATA
  bool announced = false;      // the peer knows of the stream
  bool write_closed = false;   // nothing comes after `unsent`
  bool write_refused = false;  // Write had to refuse bytes; a kWritable is due
  bool send_done = false;      // FIN or RESET_STREAM has been sent

  // The peer's direction.
  ByteQueue unread;
  uint64_t received = 0;
  uint64_t consumed = 0;
  uint64_t receive_limit = 0;  // our MAX_STREAM_DATA
  uint64_t window = 0;         // how far it is ahead of what was consumed; it only grows
  uint64_t lent = 0;           // the oldest of `unread`, for which the connection has its credit back
  uint64_t slow_below = 0;     // `consumed` that makes its reader a slow one at the next look
  uint64_t peer_blocked_at = 0;
  bool peer_waits = false;     // it said so, and the window has not grown since
  bool awaits_header = false;  // the first line is not complete; the layer above does not know of the stream
  bool readable_told = false;  // a kReadable is out, and Read has not been called since
  bool receive_done = false;   // FIN or RESET_STREAM has arrived
  bool end_read = false;       // and the layer above knows

  // Reset by either end: gone for the layer above, kept until both directions have ended on the wire.
  bool detached = false;
  uint64_t reset_code = 0;

  // Frames to send; `queued` while the stream waits for its turn to send them.
  bool queued = false;
  bool owes_reset = false;
  bool owes_stop = false;
  bool owes_fin = false;  // a FIN without data
  bool owes_credit = false;
  bool owes_priority = false;
  bool owes_dependency = false;
  bool owes_blocked = false;
  std::optional<uint64_t> told_blocked_at;

  [[nodiscard]] size_t sendable() const {
    return static_cast<size_t>(std::min<uint64_t>(unsent.size(), send_limit - sent));
  }
  [[nodiscard]] bool visible() const { return !detached && !awaits_header; }
  [[nodiscard]] bool over() const { return send_done && receive_done && (detached || end_read); }
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_STREAM_STATE_H_
