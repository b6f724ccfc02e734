// Moves inboxes to where they are at home, whenever members of the cluster come, go or drain.
//
// One inbox's parts go one after the other (inbox_store.h: Pack, Unpack, Discard); a few inboxes move at a time. Nobody
// is waited for: what cannot be moved now is tried again, and waits here meanwhile, on disk.
//
// Defends against a new home that is slow or gone (a part has a deadline), and against two members that each think that
// the other is home: the receiver refuses what is not its own, and the inbox stays until they agree.
#ifndef DOTAGENT_SERVICES_GATEWAY_INBOX_MOVER_H_
#define DOTAGENT_SERVICES_GATEWAY_INBOX_MOVER_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/crypto/keys.h"
#include "common/record/name.h"
#include "common/telemetry/metrics.h"
#include "dotagent/cluster/v1/cluster.pb.h"
#include "services/gateway/inbox_store.h"

namespace dotagent::gateway_service {

// On the loop.
class InboxMover {
 public:
  static constexpr size_t kAtOnce = 8;  // inboxes
  static constexpr size_t kPartBytes = size_t{1} << 20;
  static constexpr absl::Duration kPause = absl::Seconds(1);       // after a failure
  static constexpr absl::Duration kLookAnyway = absl::Minutes(1);  // for what came while views differed

  struct Parts {
    InboxStore& inboxes;
    const Clock& clock;
    telemetry::Metrics& metrics;
    // The member to which an inbox has to move; std::nullopt: it stays here.
    std::function<std::optional<crypto::PublicKey>(const record::Name&)> away;
    // Hands a part over. `done` is never called from inside: OK once it is on disk there.
    std::function<void(const crypto::PublicKey& member, cluster::v1::MoveInbox part, std::function<void(absl::Status)>)>
        send;
    // The inbox is about to move: nobody reads it here any more.
    std::function<void(const InboxId&)> leaving;
  };
  // All parts must outlive it.
  explicit InboxMover(Parts parts);

  // Homes may have changed: looks at all inboxes after `delay`.
  void LookIn(absl::Duration delay);
  // Call several times a second.
  void Tick();
  // It has looked since it was last told to, and nothing is left that belongs elsewhere.
  [[nodiscard]] bool idle() const { return queue_.empty() && moving_.empty() && !asked_; }

 private:
  void Start(const InboxId& inbox, const crypto::PublicKey& home);
  void MoveOn(const InboxId& inbox, const crypto::PublicKey& home);
  void End(const InboxId& inbox, const absl::Status& why);

  const Parts parts_;
  std::deque<InboxId> queue_;
  absl::flat_hash_set<std::string> moving_;  // by InboxId::ToString
  absl::Duration look_at_;
  bool asked_ = false;  // to look
  bool ticking_ = false;
  telemetry::Counter& moved_inboxes_;
  telemetry::Counter& moved_messages_;
  telemetry::Counter& failed_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_INBOX_MOVER_H_
