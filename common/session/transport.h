// Noise messages on the wire once the handshake is over: a 2-byte big-endian length, then ciphertext and tag.
//
// Each direction changes its key (Noise's Rekey(), §4.2) after `rekey_messages` messages or `rekey_interval`, whichever
// is first, so that a key that leaks opens little. The sender says so in-band: a message whose first frame is REKEY is
// the last one under its key. The receiver enforces it: it refuses a message over the count, and one whose key is over
// twice the interval old (twice, because the receiver's clock starts when a message arrives, and a network that stalls
// must not end a session). A REKEY frame anywhere else is refused by mux.h. Besides, the ends agree on a new key every
// `rekey_interval`: fresh_exchange.h. Frames of that come first in their message, before a REKEY.
//
// Defends against tampering, replay, reordering and truncation of messages (each is an error that ends the session) and
// against a peer that never rekeys. Costs no allocation a message.
#ifndef DOTAGENT_COMMON_SESSION_TRANSPORT_H_
#define DOTAGENT_COMMON_SESSION_TRANSPORT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/session/frame.h"
#include "common/session/fresh_exchange.h"
#include "common/session/message.h"
#include "common/session/noise.h"

namespace dotagent::session {

// What a message takes on the wire besides its plaintext.
inline constexpr size_t kMessageOverhead = 2 + crypto::kAeadTagSize;
// The most plaintext that we put into one message: the longest frame, and short ones beside it. A peer may put more, up
// to kMaxNoiseMessage with the tag.
inline constexpr size_t kMaxPlaintext = kMaxFrameSize + 1024;

struct RekeyLimits {
  uint64_t messages = 1000;  // at least 1
  absl::Duration interval = absl::Minutes(10);
};

// Where a message is opened into. Memory is taken with the first message and kept for the next ones; it is not shared
// with what a session keeps, so that thousands of idle ones need none.
class PlaintextBuffer {
 public:
  [[nodiscard]] char* WithRoomFor(size_t size) {
    if (size > size_) {
      bytes_ = std::make_unique_for_overwrite<char[]>(size);
      size_ = size;
    }
    return bytes_.get();
  }

 private:
  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0;
};

class Transport {
 public:
  // `random` must outlive it.
  Transport(Role role, CipherPair ciphers, RekeyLimits limits, Random* random, absl::Time now);

  // Where to add the frames of the next message, up to kMaxPlaintext in all; not empty if the message has to carry a
  // REKEY. EndMessage then seals it to `out`, where its size and kMessageOverhead must be free; returns how much that
  // is.
  [[nodiscard]] Message* BeginMessage(absl::Time now);
  size_t EndMessage(absl::Time now, char* out);

  // Takes one message from the front of `in`, if all of it is there, and returns its plaintext, without a leading
  // REKEY; it is in `buffer`. std::nullopt if more bytes are needed. DataLoss or InvalidArgument (PROTOCOL) if it does
  // not authenticate (the message says what has happened to it, as far as that shows) or cannot be one,
  // ResourceExhausted (LIMIT) if the peer should have changed its key; after an error the transport is of no more use.
  [[nodiscard]] absl::StatusOr<std::optional<absl::string_view>> TakeMessage(absl::string_view* in, absl::Time now,
                                                                             PlaintextBuffer* buffer);
  // How many bytes the message has that begins with `in`; 0 if not even that can be told yet.
  [[nodiscard]] static size_t MessageSize(absl::string_view in);

  // A message is to be sent even if there are no other frames, for the sake of the keys.
  [[nodiscard]] bool message_wanted() const { return message_wanted_; }
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
    void Mix(const FreshExchange::Secret& secret, absl::Time now);
  };

  [[nodiscard]] absl::Status TakeKeyFrames(absl::string_view* plaintext, absl::Time now);
  [[nodiscard]] absl::Status Diagnose(const absl::Status& failed, absl::string_view sealed) const;

  const RekeyLimits limits_;
  Key send_;
  Key receive_;
  Message message_;  // between BeginMessage and EndMessage
  FreshExchange fresh_;
  std::optional<FrameType> fresh_frame_;  // that message_ begins with
  bool ends_key_ = false;                 // message_ has a REKEY
  bool message_wanted_ = false;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_TRANSPORT_H_
