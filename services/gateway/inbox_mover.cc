#include "services/gateway/inbox_mover.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/telemetry/log.h"

namespace dotagent::gateway_service {

InboxMover::InboxMover(Parts parts)
    : parts_(std::move(parts)),
      look_at_(parts_.clock.Elapsed()),
      moved_inboxes_(parts_.metrics.AddCounter("dotagent_gateway_cluster_inboxes_moved_total",
                                               "Inboxes that moved to another gateway of the cluster.")),
      moved_messages_(parts_.metrics.AddCounter("dotagent_gateway_cluster_messages_moved_total",
                                                "Messages and dead letters that moved with them.")),
      failed_(parts_.metrics.AddCounter("dotagent_gateway_cluster_moves_failed_total",
                                        "Inboxes that could not move, and are tried again.")) {}

void InboxMover::LookIn(absl::Duration delay) {
  look_at_ = std::min(look_at_, parts_.clock.Elapsed() + delay);
  asked_ = true;
}

void InboxMover::Tick() {
  if (std::exchange(ticking_, true)) return;  // one that ends at once is followed by the next below
  const absl::Duration now = parts_.clock.Elapsed();
  if (now >= look_at_ && queue_.empty() && moving_.empty()) {
    look_at_ = now + kLookAnyway;
    asked_ = false;
    const absl::StatusOr<std::vector<InboxId>> kept = parts_.inboxes.Kept();
    if (!kept.ok()) {
      telemetry::Log(telemetry::Level::kError, "cannot look through the inboxes", {{"why", kept.status().ToString()}});
      LookIn(kPause);
    } else {
      for (const InboxId& inbox : *kept) {
        if (parts_.away(inbox.name)) queue_.push_back(inbox);
      }
    }
  }
  while (!queue_.empty() && moving_.size() < kAtOnce) {
    const InboxId inbox = std::move(queue_.front());
    queue_.pop_front();
    const auto home = parts_.away(inbox.name);
    if (home) Start(inbox, *home);
  }
  ticking_ = false;
}

void InboxMover::Start(const InboxId& inbox, const crypto::PublicKey& home) {
  moving_.insert(inbox.ToString());
  parts_.leaving(inbox);
  MoveOn(inbox, home);
}

void InboxMover::MoveOn(const InboxId& inbox, const crypto::PublicKey& home) {
  if (parts_.away(inbox.name) != home) return End(inbox, absl::UnavailableError("the members have changed"));
  absl::StatusOr<cluster::v1::MoveInbox> packed = parts_.inboxes.Pack(inbox, kPartBytes);
  if (!packed.ok()) return End(inbox, packed.status());
  if (packed->messages_size() == 0 && packed->seen_size() == 0) {
    parts_.inboxes.Close(inbox);
    return End(inbox, absl::OkStatus());
  }
  parts_.send(home, *packed, [this, inbox, home, part = *packed](const absl::Status& taken) {
    if (!taken.ok()) return End(inbox, taken);
    moved_messages_.Increment(part.messages_size());
    parts_.inboxes.Discard(inbox, part, [this, inbox, home](const absl::Status& discarded) {
      discarded.ok() ? MoveOn(inbox, home) : End(inbox, discarded);
    });
  });
}

void InboxMover::End(const InboxId& inbox, const absl::Status& why) {
  moving_.erase(inbox.ToString());
  if (why.ok()) {
    moved_inboxes_.Increment();
  } else {
    failed_.Increment();
    telemetry::Log(telemetry::Level::kInfo, "an inbox cannot move now; it is tried again",
                   {{"name", inbox.name.text()}, {"why", why.ToString()}});
    LookIn(kPause);
  }
  Tick();
}

}  // namespace dotagent::gateway_service
