// Frames of /dotagent/mux/1.0.0: what two sessions say to each other inside Noise messages.
//
// Named, numbered and shaped as in RFC 9000 §19. What differs, because the bytes below arrive in order and once: STREAM
// has no offset and always a length (types 0x0a, and 0x0b with FIN), there are no acknowledgements, streams are
// bidirectional, and a sender's final size in RESET_STREAM is a check rather than news. Ours are the types from
// 0x38 on. Every field is a QUIC varint; a type must be in its shortest form, which is one byte.
//
//   PING                0x01                       nothing; keeps a path through NATs awake, and is not answered
//   RESET_STREAM        0x04 stream code size      the sender's direction ends here, after `size` bytes in all
//   STOP_SENDING        0x05 stream code           asks for a RESET_STREAM of the other direction
//   STREAM              0x0a|fin stream len data
//   MAX_DATA            0x10 limit                 bytes that may ever be sent, all streams together
//   MAX_STREAM_DATA     0x11 stream limit          bytes that may ever be sent on the stream
//   MAX_STREAMS         0x12 limit                 streams that may ever be opened
//   DATA_BLOCKED        0x14 limit                 the sender waits for MAX_DATA
//   STREAM_DATA_BLOCKED 0x15 stream limit          the sender waits for MAX_STREAM_DATA
//   PRIORITY            0x38 stream level          asks the peer to send its direction at level 0–3
//   REKEY               0x39                       first in a message: the last one under its key (transport.h)
//   GOAWAY              0x3a code len reason       code 0: no more streams; else the session ends
//   FRESH_OFFER         0x3b key                   first in a message, as the next two: a new key exchange
//   FRESH_ANSWER        0x3c key                   (transport.h); 32 bytes of X25519
//   FRESH_DONE          0x3d
//   DEPENDENCY          0x3e stream on             asks the peer to send its direction of `stream` only while `on` has
//                                                  nothing to send; `on` = `stream`: no more of that
//
// Defends against frames that lie about their length or do not end: a frame lies wholly inside one Noise message.
#ifndef DOTAGENT_COMMON_SESSION_FRAME_H_
#define DOTAGENT_COMMON_SESSION_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/session/types.h"

namespace dotagent::session {

enum class FrameType : uint8_t {
  kPing = 0x01,
  kResetStream = 0x04,
  kStopSending = 0x05,
  kStream = 0x0a,
  kStreamFin = 0x0b,  // on the wire only: a parsed Frame is a kStream with `fin`
  kMaxData = 0x10,
  kMaxStreamData = 0x11,
  kMaxStreams = 0x12,
  kDataBlocked = 0x14,
  kStreamDataBlocked = 0x15,
  kPriority = 0x38,
  kRekey = 0x39,
  kGoAway = 0x3a,
  kFreshOffer = 0x3b,  // these three never reach the muxer
  kFreshAnswer = 0x3c,
  kFreshDone = 0x3d,
  kDependency = 0x3e,
};

// A whole frame is at most this long, so that an urgent one never waits for more (§4.2).
inline constexpr size_t kMaxFrameSize = 16 * 1024;
// Every frame but STREAM and GOAWAY fits in this: a type and three 8-byte integers.
inline constexpr size_t kMaxControlFrameSize = 25;
// The most that a STREAM frame takes besides its data.
inline constexpr size_t kMaxStreamHeaderSize = 1 + 8 + 4;
inline constexpr size_t kMaxGoAwayReason = 255;
// RFC 9000 §4.6: more could not be numbered.
inline constexpr uint64_t kMaxStreamCount = uint64_t{1} << 60;

// Which fields mean something follows from the type, as in the table above.
struct Frame {
  FrameType type = FrameType::kPing;
  StreamId stream = 0;
  uint64_t value = 0;      // code, limit, level, or the stream that DEPENDENCY is on
  uint64_t size = 0;       // RESET_STREAM's final size
  bool fin = false;        // STREAM
  absl::string_view data;  // STREAM's data, GOAWAY's reason; lives as long as the bytes that were parsed
};

// Takes one frame from the front of `in`, which holds the rest of one Noise message. InvalidArgument (PROTOCOL) for an
// unknown type, a frame that is cut short or over kMaxFrameSize, a level over 3, a limit that cannot be.
[[nodiscard]] absl::StatusOr<Frame> TakeFrame(absl::string_view* in);

void AppendFrame(const Frame& frame, std::string* out);

// A STREAM frame up to its data, `data_size` bytes of it.
void AppendStreamHeader(StreamId stream, bool fin, size_t data_size, std::string* out);

// Bytes that a STREAM frame takes besides its data, if it has `data_size` of them.
[[nodiscard]] size_t StreamFrameOverhead(StreamId stream, size_t data_size);

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_FRAME_H_
