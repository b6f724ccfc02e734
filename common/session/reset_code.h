// Why a stream was reset: the codes that RESET_STREAM and STOP_SENDING carry (docs/protocol.md §13), and what they mean
// as an absl::Status, both ways. So whoever waits at the far end of a stream hears the cause and not only that
// something broke.
//
// What a peer says here is a claim of its own, as any other answer of it.
//
//   stream->Reset(ResetCodeFor(why));      // here …
//   absl::Status why = StatusOfReset(7);   // … and there: ResourceExhausted (LIMIT)
#ifndef DOTAGENT_COMMON_SESSION_RESET_CODE_H_
#define DOTAGENT_COMMON_SESSION_RESET_CODE_H_

#include <cstdint>

#include "absl/status/status.h"

namespace dotagent::session {

namespace reset_code {
// On the wire: a number keeps its meaning for ever. A new one goes into reset_code.cc and docs/protocol.md too.
inline constexpr uint64_t kDropped = 0;          // its holder let go of it before it ended
inline constexpr uint64_t kUnknownProtocol = 1;  // nobody serves the protocol
inline constexpr uint64_t kBadMessage = 2;       // what came breaks the protocol
inline constexpr uint64_t kTimeout = 3;          // the holder waited long enough
inline constexpr uint64_t kRefused = 4;          // the peer may not, for no reason below
inline constexpr uint64_t kKeyRevoked = 5;       // a key that it depends on has been revoked
inline constexpr uint64_t kUnreachable = 6;      // what lies behind the sender cannot be reached, or broke off
inline constexpr uint64_t kLimit = 7;            // a limit of the sender's was reached
inline constexpr uint64_t kCancelled = 8;        // nobody wants the answer any more
inline constexpr uint64_t kInternal = 9;         // the sender's own fault
inline constexpr uint64_t kGoingAway = 10;       // opened after a GOAWAY: the session itself sends it
inline constexpr uint64_t kTokenRevoked = 11;    // a block of the capability token that allowed it has been revoked
}  // namespace reset_code

// The code that says best why a stream is reset with `why`: by its reason first, then by its code.
[[nodiscard]] uint64_t ResetCodeFor(const absl::Status& why);

// What a reset by the peer means, with a reason where there is one. A code that is not in the table above means
// nothing to us: Aborted (UNREACHABLE) with its number, as kDropped.
[[nodiscard]] absl::Status StatusOfReset(uint64_t code);

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_RESET_CODE_H_
