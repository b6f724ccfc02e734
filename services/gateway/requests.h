// Requests that wait for their answers: each is handed to its recipient, who listens here, and kept in memory until the
// answer comes on the same Inbox, the caller's time is up, or the recipient goes away.
//
// Defends against replays (a REQUEST is signed within the last 5 minutes, and who has seen it once refuses it for 10),
// against answers to what was not asked (only the recipient's key, and only the request's own id, sender and recipient
// count), and against requests without end: so many wait, of which each inbox and each sender has a share, and so many
// are remembered.
#ifndef DOTAGENT_SERVICES_GATEWAY_REQUESTS_H_
#define DOTAGENT_SERVICES_GATEWAY_REQUESTS_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/crypto/keys.h"
#include "common/record/answer.h"
#include "common/record/message.h"
#include "common/telemetry/metrics.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/inbox_store.h"
#include "services/gateway/listeners.h"
#include "services/gateway/places.h"

namespace dotagent::gateway_service {

inline constexpr size_t kMaxRequestsWaiting = 16'384;
inline constexpr size_t kMaxRequestsOfOne = 1'024;  // for one inbox, and likewise of one sender
inline constexpr size_t kMaxRequestsRemembered = 262'144;
inline constexpr absl::Duration kDefaultRequestTimeout = absl::Seconds(30);
inline constexpr absl::Duration kMaxRequestTimeout = absl::Minutes(10);
inline constexpr absl::Duration kMaxRequestAge = absl::Minutes(5);

// A RESPONSE or an ERROR that has been checked.
struct Answer {
  std::string message_json;
  std::string attachment;
};

// On the loop.
class Requests {
 public:
  using Done = std::function<void(absl::StatusOr<Answer>)>;

  // What `agent` is charged for an answer that is refused: good ones are paid for by who asked. Not OK: it has no more.
  using Charge = std::function<absl::Status(const crypto::PublicKey& agent, const absl::Status& why)>;

  // All must outlive it. Takes what listeners say of requests.
  Requests(Listeners& listeners, Charge charge, const Clock& clock, telemetry::Metrics& metrics);

  // InvalidArgument (BAD_MESSAGE) if this is no REQUEST, FailedPrecondition (STALE) if it is too old to be handed over.
  [[nodiscard]] static absl::Status CheckForm(const record::Message& request, absl::Time now);

  // Hands over `request`, whose signature by `sender_key` has been checked, to who listens at `inbox`. `done` is called
  // once, maybe from inside. AlreadyExists (STALE) if it has come before, as Listeners::Ask, ResourceExhausted (LIMIT),
  // DeadlineExceeded, or Unavailable (RECIPIENT_OFFLINE) if the recipient stops listening.
  void Present(const InboxId& inbox, const record::Message& request, const std::string& attachment,
               const crypto::PublicKey& sender_key, absl::Time deadline, Done done);

  // That `answer`, which claims to be `key`'s, is one to `request`. InvalidArgument (TOO_LARGE, BAD_MESSAGE,
  // BAD_SIGNATURE).
  [[nodiscard]] static absl::Status CheckAnswer(const record::Message& request, const Answer& answer,
                                                const crypto::PublicKey& key, absl::Time now);

  // Tells who waits in vain; call about once a second.
  void Expire(absl::Time now);
  [[nodiscard]] size_t waiting() const { return waiting_.size(); }

 private:
  struct Waiting {
    record::Question question;  // not all of it: many wait, and for long
    absl::Time deadline;
    Done done;
    Places::Place at_inbox;
    Places::Place of_sender;
  };
  // An inbox, the request's sender and its id.
  [[nodiscard]] static std::string KeyOf(const InboxId& inbox, const std::string& sender, const std::string& id);
  [[nodiscard]] absl::Status Remember(const std::string& key, absl::Time now);
  [[nodiscard]] absl::Status OnAnswer(const InboxId& inbox, const gateway::v1::InboxAnswer& answer);
  void OnGone(const InboxId& inbox);
  void End(const std::string& key, absl::StatusOr<Answer> result);

  Listeners& listeners_;
  const Clock& clock_;
  absl::btree_map<std::string, Waiting> waiting_;  // by KeyOf: those of an inbox side by side
  Places at_inbox_{kMaxRequestsOfOne};
  Places of_sender_{kMaxRequestsOfOne};
  absl::flat_hash_set<std::string> seen_;
  std::deque<std::pair<absl::Time, std::string>> forget_;  // of seen_, in the order in which they came
  telemetry::Counter& answered_;
  telemetry::Counter& unanswered_;
  telemetry::Counter& refused_;
  telemetry::Gauge& waiting_gauge_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_REQUESTS_H_
