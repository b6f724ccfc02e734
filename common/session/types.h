// The small values that the parts of a session share.
#ifndef DOTAGENT_COMMON_SESSION_TYPES_H_
#define DOTAGENT_COMMON_SESSION_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace dotagent::session {

enum class Role { kDialler, kListener };

// §4.2. A sender's higher level goes first, within the floors that scheduler.h gives the lower ones.
enum class Priority : uint8_t { kCritical = 0, kHigh = 1, kNormal = 2, kLow = 3 };
inline constexpr size_t kPriorities = 4;

// Of the streams that the peer allows us the last ones are for calls only (mux.h), so that streams that stay open for
// long do not shut out questions that are answered at once.
enum class StreamUse { kOrdinary, kCall };

// 62 bits. As in QUIC: the lowest bit tells who opened it (0 the dialler), and bit 1 is 0 (bidirectional).
using StreamId = uint64_t;

// Why a session ends, as GOAWAY carries it; the numbers are RFC 9000 §20.1's where it has one.
enum class EndCode : uint64_t {
  kNone = 0x0,  // no error: the sender of the GOAWAY opens and accepts no more streams, those that are open go on
  kFlowControl = 0x3,
  kStreamLimit = 0x4,
  kStreamState = 0x5,
  kFinalSize = 0x6,
  kFrameEncoding = 0x7,
  kProtocolViolation = 0xa,
  kKeyLimit = 0xf,
  kCrypto = 0x100,
};

struct Event {
  enum class Kind {
    kKnock,        // a gated listener: Admit may be called; `code` is the bits of work that the dialler has shown, or 0
    kWorkAsked,    // a dialler: the listener wants `code` bits of work first; WorkOnCookie until that is true
    kEstablished,  // the handshake is over; peer_key() is known
    kStreamOpened,   // by the peer; `protocol` is its first line
    kReadable,       // Read will return bytes, or the end; not said again until Read is called and more arrives
    kWritable,       // Write will take bytes again after having refused some
    kStreamReset,    // by the peer; `code` (reset_code.h); both directions are gone
    kStreamGivenUp,  // by the session: nobody read it, and no room was left for others; both directions are gone
    kGoAway,         // the peer opens and accepts no more streams
  };
  Kind kind;
  StreamId stream = 0;
  std::string protocol;
  uint64_t code = 0;
};

struct ReadResult {
  std::string data;
  bool finished = false;  // the peer has closed its direction and all of it has been read
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_TYPES_H_
