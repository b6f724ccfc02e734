// Agents that listen now: the open Inbox calls. Feeds each from the inbox on disk, offers it channels, and hands it
// requests.
//
// One listener an inbox: a newer Inbox call for the same name and key replaces the older one, which ends with ABORTED
// (SUPERSEDED). So an agent that lost its connection without notice is served again at once, and no message goes out
// twice at the same time.
//
// What is not acknowledged goes out again on the next Inbox call, and not before: an agent may take its time for each.
//
// Defends against agents that do not read or do not acknowledge: at most kMaxUnacked messages (or kMaxUnackedBytes) are
// out at a time, one write is under way, and at most kMaxOffers offers and kMaxAsked requests (or kMaxAskedBytes) wait
// for it. And against agents that open Inbox calls without end, or do not say what for: kMaxInboxCallsPerAgent, and
// kMaxSilenceBeforeOpen.
#ifndef DOTAGENT_SERVICES_GATEWAY_LISTENERS_H_
#define DOTAGENT_SERVICES_GATEWAY_LISTENERS_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/crypto/keys.h"
#include "common/telemetry/metrics.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/bidi_stream.h"
#include "services/gateway/inbox_store.h"
#include "services/gateway/places.h"
#include "services/gateway/token_table.h"
#include "services/host/directory.h"

namespace dotagent::gateway_service {

using InboxStream = BidiStream<gateway::v1::InboxRequest, gateway::v1::InboxResponse>;

inline constexpr size_t kMaxUnacked = 64;
inline constexpr size_t kMaxUnackedBytes = size_t{8} << 20;
inline constexpr size_t kMaxOffers = 64;
inline constexpr size_t kMaxAsked = 256;                   // requests that wait to be written
inline constexpr size_t kMaxAskedBytes = size_t{8} << 20;  // of those; the last may be over it
inline constexpr size_t kMaxRefused = 256;                 // likewise, refused answers
inline constexpr size_t kMaxInboxCallsPerAgent = 64;
inline constexpr absl::Duration kMaxSilenceBeforeOpen = absl::Seconds(20);

// What is told of requests (requests.h).
struct RequestHooks {
  // An agent answers. Not OK: it is told why.
  std::function<absl::Status(const InboxId& inbox, const gateway::v1::InboxAnswer& answer)> answered;
  // Its answer was refused. Not OK: it has had too many of them, and its Inbox ends.
  std::function<absl::Status(const InboxId& inbox, const absl::Status& why)> refused;
  // Nobody listens at `inbox` any more, or somebody else does.
  std::function<void(const InboxId& inbox)> gone;
};

// On the loop.
class Listeners {
 public:
  // All must outlive it.
  Listeners(InboxStore& store, host::Directory& directory, const Clock& clock, telemetry::Metrics& metrics);
  ~Listeners();

  // Serves an Inbox call until its end. ResourceExhausted (LIMIT) if the agent has kMaxInboxCallsPerAgent already;
  // DeadlineExceeded (PROTOCOL) if it does not say `open` for kMaxSilenceBeforeOpen.
  void Serve(std::shared_ptr<Agent> agent, std::shared_ptr<InboxStream> stream);

  // A message was added to `inbox`.
  void Notify(const InboxId& inbox);

  // Whether a channel can be offered now: as Offer.
  [[nodiscard]] absl::Status CanOffer(const InboxId& inbox) const;
  // Offers a channel. Unavailable (RECIPIENT_OFFLINE) if nobody listens for channels there, ResourceExhausted (LIMIT)
  // if too many offers wait.
  [[nodiscard]] absl::Status Offer(const InboxId& inbox, const gateway::v1::ChannelOffer& offer);

  void SetRequestHooks(RequestHooks hooks) { hooks_ = std::move(hooks); }
  // Whether a request can be handed over now: Unavailable (RECIPIENT_OFFLINE) if nobody listens for requests there,
  // ResourceExhausted (LIMIT) if too many wait.
  [[nodiscard]] absl::Status CanAsk(const InboxId& inbox) const;
  // After CanAsk.
  void Ask(const InboxId& inbox, gateway::v1::ReceivedRequest request);

  // Ends the call that listens at `inbox`, if there is one; or those at all inboxes that match.
  void EndInbox(const InboxId& inbox, const absl::Status& why);
  void EndWhere(const std::function<bool(const InboxId&)>& matches, const absl::Status& why);
  // Ends the calls made with `key`.
  void End(const crypto::PublicKey& key, const absl::Status& why);
  // Ends all calls and refuses new ones.
  void Drain(const absl::Status& why);
  // Ends calls that were never opened; call about once a second.
  void Expire(absl::Time now);

 private:
  class Listener;
  void Register(const std::shared_ptr<Listener>& listener);
  void Unregister(const Listener& listener);
  // Unavailable (RECIPIENT_OFFLINE) if nobody listens there.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Listener>> At(const InboxId& inbox) const;

  InboxStore& store_;
  host::Directory& directory_;
  const Clock& clock_;
  telemetry::Gauge& open_;
  telemetry::Counter& delivered_;
  telemetry::Counter& acknowledged_;
  absl::flat_hash_map<const Listener*, std::shared_ptr<Listener>> calls_;  // every call, also before its `open`
  absl::flat_hash_map<std::string, std::shared_ptr<Listener>> by_inbox_;   // by InboxId::ToString
  Places calls_of_{kMaxInboxCallsPerAgent};
  RequestHooks hooks_;
  absl::Status drained_;  // not OK once drained
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_LISTENERS_H_
