// InboxStore: an inbox that passes to its owner's new key.
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "services/gateway/inbox_rows.h"
#include "services/gateway/inbox_store.h"

namespace dotagent::gateway_service {

using inbox_rows::MessageKey;
using inbox_rows::Numbers;

bool InboxStore::IsBeingWritten(const std::string& inbox) const {
  const auto found = inboxes_.find(inbox);
  return found != inboxes_.end() && (found->second.adding > 0 || found->second.dying > 0);
}

absl::StatusOr<size_t> InboxStore::TakeOver(const InboxId& from, const InboxId& to, absl::Time now) {
  const std::string old_id = from.ToString();
  const std::string new_id = to.ToString();
  // What is being written cannot be moved, and who hears of it may ask for more.
  if (inboxes_.contains(old_id)) {
    while (writer_.Flush() && (IsBeingWritten(old_id) || IsBeingWritten(new_id))) {
    }
  }
  RETURN_IF_ERROR(MoveSeen(old_id, new_id));
  size_t moved = 0;
  for (auto found = inboxes_.find(old_id); found != inboxes_.end(); found = inboxes_.find(old_id)) {
    if (found->second.messages.empty()) {
      RETURN_IF_ERROR(MoveFirstDead(old_id, new_id, now));
    } else {
      RETURN_IF_ERROR(MoveFirst(old_id, new_id, now));
      ++moved;
    }
  }
  DropSurplus(new_id);
  return moved;
}

// Before the messages: a second copy of one is then recognised wherever it comes.
absl::Status InboxStore::MoveSeen(const std::string& from, const std::string& to) {
  const std::string old_prefix = absl::StrCat(inbox_rows::kSeenTable, from, "/");
  storage::Batch batch;
  RETURN_IF_ERROR(store_.Scan(old_prefix, old_prefix, [&](absl::string_view key, absl::string_view value) {
    const std::string moved = absl::StrCat(inbox_rows::kSeenTable, to, "/", key.substr(old_prefix.size()));
    const auto numbers = inbox_rows::ParseNumbers(value);
    const auto forget_ms = static_cast<int64_t>(numbers ? numbers->front() : 0);
    batch.Delete(key);
    batch.Delete(inbox_rows::SeenTimelineKey(forget_ms, key));
    batch.Put(moved, value);
    batch.Put(inbox_rows::SeenTimelineKey(forget_ms, moved), Numbers({0}));
    return true;
  }));
  return batch.empty() ? absl::OkStatus() : store_.Write(batch, storage::Durability::kBuffered);
}

absl::StatusOr<uint64_t> InboxStore::Renumber(const Message& from, const std::string& to, absl::Time now,
                                              storage::Batch& batch) const {
  ASSIGN_OR_RETURN(gateway::v1::InboxMessage message, Read(from.inbox, from.sequence));
  ASSIGN_OR_RETURN(const uint64_t sequence, NextSequence(to, now));
  message.set_sequence(sequence);
  batch.Delete(MessageKey(from.inbox, from.sequence));
  batch.Put(MessageKey(to, sequence), message.SerializeAsString());
  batch.Put(inbox_rows::CounterKey(to), Numbers({sequence + 1}));
  return sequence;
}

absl::Status InboxStore::MoveFirst(const std::string& from, const std::string& to, absl::Time now) {
  auto [old_sequence, waiting] = *inboxes_.at(from).messages.begin();
  waiting.handed_out = false;
  storage::Batch batch;
  ASSIGN_OR_RETURN(const uint64_t sequence, Renumber({from, old_sequence}, to, now, batch));
  batch.Delete(inbox_rows::MessageTimelineKey(waiting.expires_ms, from, old_sequence));
  batch.Put(inbox_rows::MessageTimelineKey(waiting.expires_ms, to, sequence),
            Numbers({waiting.bytes, waiting.deliveries}));
  RETURN_IF_ERROR(store_.Write(batch, storage::Durability::kBuffered));
  Forget({from, old_sequence});
  Insert({to, sequence}, waiting);
  inboxes_.at(to).next_sequence = sequence + 1;
  return absl::OkStatus();
}

absl::Status InboxStore::MoveFirstDead(const std::string& from, const std::string& to, absl::Time now) {
  const auto [old_sequence, letter] = *inboxes_.at(from).dead.begin();
  storage::Batch batch;
  const absl::StatusOr<uint64_t> sequence = Renumber({from, old_sequence}, to, now, batch);
  batch.Delete(inbox_rows::DeadLetterTimelineKey(letter.expires_ms, from, old_sequence));
  if (sequence.ok()) {
    batch.Put(inbox_rows::DeadLetterTimelineKey(letter.expires_ms, to, *sequence),
              Numbers({letter.bytes, letter.deliveries, static_cast<uint64_t>(letter.reason),
                       static_cast<uint64_t>(letter.died_ms)}));
  } else if (!absl::IsNotFound(sequence.status())) {
    return sequence.status();
  }
  RETURN_IF_ERROR(store_.Write(batch, storage::Durability::kBuffered));
  ForgetDead({from, old_sequence});
  if (!sequence.ok()) return absl::OkStatus();  // its message was acknowledged while it died
  InsertDead({to, *sequence}, letter);
  inboxes_.at(to).next_sequence = *sequence + 1;
  return absl::OkStatus();
}

}  // namespace dotagent::gateway_service
