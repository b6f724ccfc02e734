// An agent's subscription to another's topics: publications as they come, verified, and what was missed.
//
// With a durable name the gateway keeps what comes while this is not open, and hands each publication out again until
// it is acknowledged (Ack); a program that dies goes on behind its last acknowledgement.
//
// Without one, at most once: what came while this was not open, or faster than it was read, does not come again; the
// latter is told as MissedPublications. Believes no gateway: a publication is verified against the publisher's record
// and must be of a topic that was asked for. A gateway can keep publications back, or repeat them; their ids and
// numbers tell.
#ifndef DOTAGENT_SDK_CPP_SUBSCRIPTION_H_
#define DOTAGENT_SDK_CPP_SUBSCRIPTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/record/message.h"
#include "common/record/topic.h"
#include "sdk/cpp/gateway_client.h"

namespace dotagent::sdk {

class Agent;

struct ReceivedPublication {
  uint64_t sequence = 0;  // among all of the publisher's; see Publication in gateway.proto
  uint64_t cursor = 0;    // for Ack, of a durable subscription; otherwise 0
  record::Topic topic;
  record::Message message;
};

// Publications that did not come, at this place in the order.
struct MissedPublications {
  enum class Cause {
    kSlowSubscriber,  // they were not taken fast enough here
    kSlowLink,        // between the two gateways
    kBrokenLink,      // between the two gateways
    kRestart,         // of the publisher's gateway, or the publisher moved: numbers begin anew
    kNotKept,         // of a durable subscription: more came than the gateway keeps, or they waited too long
    kOther,           // one that this release does not know
  };
  Cause cause = Cause::kOther;
  uint64_t count = 0;  // exact if kSlowSubscriber, else at most so many; these three are 0 if nobody knows
  uint64_t first_sequence = 0;
  uint64_t last_sequence = 0;
};

// "slow subscriber" and so on.
[[nodiscard]] absl::string_view CauseName(MissedPublications::Cause cause);

// A publication that did not verify.
struct RejectedPublication {
  uint64_t sequence = 0;
  uint64_t cursor = 0;  // as above
  absl::Status why;
};

using SubscriptionItem = std::variant<ReceivedPublication, MissedPublications, RejectedPublication>;

// Thread-safe. Holds at most 64 answers of the gateway that have not been asked for.
class Subscription {
 public:
  // `agent` must outlive it; `token`: a capability token, where the publisher asks for one. Returns when the gateway
  // has said that everything from now on arrives here.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Subscription>> Open(Agent& agent,
                                                                          std::shared_ptr<GatewayClient> gateway,
                                                                          const record::Message& request,
                                                                          const std::string& token,
                                                                          const std::string& durable_name = {});
  // Ends it.
  ~Subscription();

  // The next item; DeadlineExceeded after `timeout`; otherwise why the subscription has ended.
  [[nodiscard]] absl::StatusOr<SubscriptionItem> Next(absl::Duration timeout);
  // Of a durable subscription: the publication with this cursor and all before it do not come again. NotFound or
  // FailedPrecondition (STALE) if it is none of this subscription's.
  [[nodiscard]] absl::Status Ack(uint64_t cursor);
  // Ends a Next that waits, and this subscription: from a signal handler's thread, say.
  void Cancel();
  // The number of the publisher's newest publication when it was opened.
  [[nodiscard]] uint64_t sequence() const;

 private:
  Subscription();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_SUBSCRIPTION_H_
