// What waits for one subscriber: publications in their order, bounded; and what did not fit in is told in its place.
//
// When the backlog is full, what comes is counted and not kept, until the subscriber has taken half of what waits: so a
// subscriber that is slow now and then has long pieces without a gap, and not a gap at every other publication. What
// is kept is shared between all subscribers, so that a slow one costs a pointer a publication.
#ifndef DOTAGENT_SERVICES_GATEWAY_TOPIC_BACKLOG_H_
#define DOTAGENT_SERVICES_GATEWAY_TOPIC_BACKLOG_H_

#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"
#include "common/crypto/keys.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "dotagent/trunk/v1/trunk.pb.h"

namespace dotagent::gateway_service {

// A publication on its way to many: the bytes that go to each are made once.
struct SharedPublication {
  uint64_t sequence = 0;
  grpc::Slice for_agents;    // a SubscribeResponse with this event alone; several, one after the other, are one too
  std::string for_gateways;  // a TopicsEvent behind its length; empty if no gateway wants it
};
using PublicationPtr = std::shared_ptr<const SharedPublication>;

[[nodiscard]] PublicationPtr SharePublication(uint64_t sequence, absl::string_view message_json,
                                              const crypto::PublicKey& sender_key, bool for_gateways);

// Publications that a subscriber does not get.
struct Gap {
  gateway::v1::MissedCause cause = gateway::v1::MISSED_CAUSE_SLOW_SUBSCRIBER;
  uint64_t count = 0;  // these three: 0 if nobody knows
  uint64_t first = 0;
  uint64_t last = 0;
};

// Not thread-safe.
class TopicBacklog {
 public:
  struct Limits {
    size_t entries = 1024;
    size_t bytes = size_t{1} << 20;
  };
  using Entry = std::variant<PublicationPtr, Gap>;

  // `cause`: of gaps that arise here.
  TopicBacklog(const Limits& limits, gateway::v1::MissedCause cause) : limits_(limits), cause_(cause) {}

  // False: it was full, and the publication is part of a gap.
  bool Push(const PublicationPtr& publication);
  // A gap that arose elsewhere.
  void PushGap(const Gap& gap);
  // The next entry; std::nullopt if nothing waits.
  [[nodiscard]] std::optional<Entry> Pop();

  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] size_t size() const { return entries_.size(); }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  void AddGap(const Gap& gap);

  const Limits limits_;
  const gateway::v1::MissedCause cause_;
  std::deque<Entry> entries_;
  size_t bytes_ = 0;
  bool full_ = false;  // until half of it has been taken
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_TOPIC_BACKLOG_H_
