// A new Diffie-Hellman inside a session, every 10 minutes (§4.1), so that whoever once got hold of its keys, and then
// only listens, loses them again. REKEY cannot do that: its keys follow from each other.
//
//   dialler    FRESH_OFFER(a)   an ephemeral X25519 key, made for this
//   listener   FRESH_ANSWER(b)  its own; after this message the key of its direction is mixed with X25519(a, b)
//   dialler    FRESH_DONE       after this message that of the other direction is, too
//
// Each frame is the first of a message that is sealed like any other, which is what authenticates the keys; other
// messages go on meanwhile. Mixing is CipherState::Mix. Only one exchange is under way at a time, and only the dialler
// begins one, so the two ends cannot cross.
//
// Defends against a peer that never takes part (refused after twice the interval), and one that makes us do arithmetic
// (an offer sooner than half the interval after the last one is refused).
#ifndef DOTAGENT_COMMON_SESSION_FRESH_EXCHANGE_H_
#define DOTAGENT_COMMON_SESSION_FRESH_EXCHANGE_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/session/frame.h"
#include "common/session/types.h"

namespace dotagent::session {

class FreshExchange {
 public:
  using Secret = crypto::BriefSecret<crypto::DhKey::kSize>;

  // `random` must outlive it.
  FreshExchange(Role role, Random* random, absl::Duration interval, absl::Time now)
      : role_(role), random_(random), interval_(interval), last_(now) {}

  // The frame that has to be first in the next message; std::nullopt if none has to.
  [[nodiscard]] std::optional<FrameType> Due(absl::Time now) const;
  // Its bytes; it is then as good as sent.
  [[nodiscard]] std::string Take(FrameType frame, absl::Time now);
  // Takes such a frame from the front of `in`, which begins with one. InvalidArgument (PROTOCOL) if it is cut short, or
  // comes when it may not, or its key is of small order.
  [[nodiscard]] absl::Status Receive(absl::string_view* in, absl::Time now);
  // Whether the key of the direction in which `frame` goes changes after its message.
  [[nodiscard]] static bool ChangesKey(FrameType frame) { return frame != FrameType::kFreshOffer; }
  // What to mix in then. Forgotten by Finish, when both directions have it.
  [[nodiscard]] const Secret& secret() const { return *secret_; }
  void FinishIfDone(FrameType frame, absl::Time now);

  // ResourceExhausted (LIMIT) if the peer should have done its part by now.
  [[nodiscard]] absl::Status CheckPeer(absl::Time now) const;
  // When the next offer is due; InfiniteFuture while that is not ours to do.
  [[nodiscard]] absl::Time NextTimeout() const;

  [[nodiscard]] static bool IsFrame(char type) {
    return type >= static_cast<char>(FrameType::kFreshOffer) && type <= static_cast<char>(FrameType::kFreshDone);
  }

 private:
  enum class Stage { kIdle, kOffered, kToAnswer, kAnswered, kToFinish };

  const Role role_;
  Random* random_;
  const absl::Duration interval_;
  Stage stage_ = Stage::kIdle;
  absl::Time last_;                   // when both directions had a new key
  absl::Time since_;                  // of the stage, unless kIdle
  std::optional<crypto::DhKey> key_;  // ours, until they have agreed
  std::string answer_;                // its public half, until it is sent
  std::optional<Secret> secret_;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_FRESH_EXCHANGE_H_
