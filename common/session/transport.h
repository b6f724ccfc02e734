// Noise messages on the wire once the handshake is over: a 2-byte big-endian length, then ciphertext and tag.
//
// Each direction changes its key (Noise's Rekey(), §4.2) after `rekey_messages` messages or `rekey_interval`, whichever
// is first, so that a key that leaks opens little. The sender says so in-band: a message whose first frame is REKEY is
// the last one under its key. The receiver enforces it: it refuses a message over the count, and one whose key is over
// twice the interval old (twice, because the receiver's clock starts when a message arrives, and a network that stalls
// must not end a session). A REKEY frame anywhere else is refused by mux.h.
//
// Defends against tampering, replay, reordering and truncation of messages (each is an error that ends the session) and
// against a peer that never rekeys. Costs no allocation a message.
#ifndef DOTAGENT_COMMON_SESSION_TRANSPORT_H_
#define DOTAGENT_COMMON_SESSION_TRANSPORT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/session/noise.h"

namespace dotagent::session {

// What a message takes on the wire besides its plaintext.
inline constexpr size_t kMessageOverhead = 2 + crypto::kAeadTagSize;
// The most plaintext that we put into one message; a peer may put more, up to kMaxNoiseMessage with the tag.
inline constexpr size_t kMaxPlaintext = 16 * 1024;

struct RekeyLimits {
  uint64_t messages = 1000;  // at least 1
  absl::Duration interval = absl::Minutes(10);
};

class Transport {
 public:
  Transport(CipherPair ciphers, RekeyLimits limits, absl::Time now);

  // Where to append the frames of the next message, up to kMaxPlaintext in all; not empty if the message has to carry a
  // REKEY. EndMessage then seals it into `out`.
  [[nodiscard]] std::string* BeginMessage(absl::Time now);
  void EndMessage(absl::Time now, std::string* out);

  // Takes one message from the front of `in`, if all of it is there, into `plaintext` (which is cleared first), without
  // a leading REKEY. DataLoss or InvalidArgument (PROTOCOL) if it does not authenticate or cannot be one,
  // ResourceExhausted (LIMIT) if the peer should have changed its key; after an error the transport is of no more use.
  [[nodiscard]] absl::StatusOr<bool> TakeMessage(absl::string_view* in, absl::Time now, std::string* plaintext);

  // A message is to be sent even if there are no other frames, because our key is too old.
  [[nodiscard]] bool rekey_wanted() const { return rekey_wanted_; }
  // When to call OnTimeout.
  [[nodiscard]] absl::Time NextTimeout() const;
  void OnTimeout(absl::Time now);

 private:
  // A direction's key: how much it has carried, and since when.
  struct Key {
    CipherState cipher;
    uint64_t messages = 0;
    absl::Time since;
    void Renew(absl::Time now);
  };

  const RekeyLimits limits_;
  Key send_;
  Key receive_;
  std::string message_;  // the plaintext between BeginMessage and EndMessage
  bool ends_key_ = false;
  bool rekey_wanted_ = false;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_TRANSPORT_H_
