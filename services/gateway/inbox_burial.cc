// InboxStore: messages that outlive their time, or are delivered too often, and the dead letters that they become.
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "services/gateway/inbox_rows.h"
#include "services/gateway/inbox_store.h"

namespace dotagent::gateway_service {
namespace {

using inbox_rows::DeadLetterTimelineKey;
using inbox_rows::MessageKey;
using inbox_rows::MessageTimelineKey;
using inbox_rows::Numbers;

constexpr size_t kExpireAtOnce = 1000;
constexpr int kLettersAtOnce = 100;
constexpr size_t kLetterBytesAtOnce = size_t{3} << 19;  // gRPC takes 2 MiB

}  // namespace

// A dead letter's message stays where it is; only its place in the timeline is another.
InboxStore::Burial InboxStore::BeginBurial(const Message& message, gateway::v1::DeadLetterReason reason, absl::Time now,
                                           storage::Batch& batch) {
  Index& index = inboxes_.at(message.inbox);
  Waiting& waiting = index.messages.at(message.sequence);
  waiting.dying = true;
  ++index.dying;
  const Dead letter{.expires_ms = absl::ToUnixMillis(now + limits_.dead_letter_lifetime),
                    .bytes = waiting.bytes,
                    .deliveries = waiting.deliveries,
                    .reason = reason,
                    .died_ms = absl::ToUnixMillis(now)};
  batch.Delete(MessageTimelineKey(waiting.expires_ms, message.inbox, message.sequence));
  if (keeps_dead_letters()) {
    batch.Put(DeadLetterTimelineKey(letter.expires_ms, message.inbox, message.sequence),
              Numbers({letter.bytes, letter.deliveries, static_cast<uint64_t>(letter.reason),
                       static_cast<uint64_t>(letter.died_ms)}));
  } else {
    batch.Delete(MessageKey(message.inbox, message.sequence));
  }
  return {message, letter};
}

void InboxStore::EndBurial(const Burial& burial, const absl::Status& written) {
  const auto& [message, letter] = burial;
  if (!written.ok()) {
    Index& index = inboxes_.at(message.inbox);
    const auto waiting = index.messages.find(message.sequence);
    if (waiting != index.messages.end()) waiting->second.dying = false;
  } else if (Forget(message)) {
    ++(letter.reason == gateway::v1::DEAD_LETTER_REASON_EXPIRED ? expired_ : given_up_);
    if (keeps_dead_letters()) InsertDead(message, letter);
  } else if (keeps_dead_letters()) {
    // It was acknowledged while it died. If this cannot be written, its time will do it.
    storage::Batch batch;
    batch.Delete(DeadLetterTimelineKey(letter.expires_ms, message.inbox, message.sequence));
    writer_.Write(std::move(batch), storage::Durability::kBuffered, [](const absl::Status&) {}).IgnoreError();
  }
  --inboxes_.at(message.inbox).dying;
  DropSurplus(message.inbox);
  DropIfEmpty(message.inbox);
}

void InboxStore::Bury(const Message& message, gateway::v1::DeadLetterReason reason, absl::Time now) {
  storage::Batch batch;
  const auto end = [this, burial = BeginBurial(message, reason, now, batch)](const absl::Status& written) {
    EndBurial(burial, written);
  };
  // Buffered: what a power cut undoes waits again, and dies again.
  const absl::Status begun = writer_.Write(std::move(batch), storage::Durability::kBuffered, end);
  if (!begun.ok()) end(begun);
}

// The oldest dead letters go. What cannot be deleted goes when its time has come.
void InboxStore::DropSurplus(const std::string& inbox) {
  storage::Batch batch;
  for (auto found = inboxes_.find(inbox); found != inboxes_.end(); found = inboxes_.find(inbox)) {
    const Index& index = found->second;
    if (index.dead.size() <= limits_.max_dead_letters && index.dead_bytes <= limits_.max_dead_letter_bytes) break;
    const auto [sequence, letter] = *index.dead.begin();
    batch.Delete(MessageKey(inbox, sequence));
    batch.Delete(DeadLetterTimelineKey(letter.expires_ms, inbox, sequence));
    ForgetDead({inbox, sequence});
  }
  if (batch.empty()) return;
  writer_.Write(std::move(batch), storage::Durability::kBuffered, [](const absl::Status&) {}).IgnoreError();
}

// Not if it is acknowledged already, or being buried.
bool InboxStore::Waits(const Message& message) const {
  const auto found = inboxes_.find(message.inbox);
  if (found == inboxes_.end()) return false;
  const auto waiting = found->second.messages.find(message.sequence);
  return waiting != found->second.messages.end() && !waiting->second.dying;
}

absl::StatusOr<bool> InboxStore::Expire(absl::Time now) {
  if (expiring_) return true;
  const int64_t now_ms = absl::ToUnixMillis(now);
  storage::Batch batch;
  size_t seen = 0;
  std::vector<Message> expired;
  std::vector<Message> dropped;
  RETURN_IF_ERROR(
      store_.Scan(inbox_rows::kTimeline, inbox_rows::kTimeline, [&](absl::string_view key, absl::string_view) {
        const auto entry = inbox_rows::ParseTimeline(key);
        if (!entry || entry->time_ms > now_ms || seen == kExpireAtOnce) return false;
        ++seen;
        const Message message{entry->inbox, entry->sequence};
        if (entry->kind == inbox_rows::Kind::kMessage) {
          if (Waits(message)) expired.push_back(message);
          return true;
        }
        batch.Delete(key);
        batch.Delete(entry->key);
        if (entry->kind == inbox_rows::Kind::kDeadLetter) dropped.push_back(message);
        return true;
      }));
  std::vector<Burial> burials;
  burials.reserve(expired.size());
  for (const Message& message : expired) {
    burials.push_back(BeginBurial(message, gateway::v1::DEAD_LETTER_REASON_EXPIRED, now, batch));
  }
  if (batch.empty()) return false;
  const auto end = [this, burials = std::move(burials), dropped = std::move(dropped)](const absl::Status& written) {
    expiring_ = false;
    for (const Burial& burial : burials) EndBurial(burial, written);
    if (!written.ok()) return;
    for (const Message& message : dropped) ForgetDead(message);
  };
  expiring_ = true;
  const absl::Status begun = writer_.Write(std::move(batch), storage::Durability::kBuffered, end);
  if (!begun.ok()) end(begun);
  RETURN_IF_ERROR(begun);
  return seen == kExpireAtOnce;
}

absl::StatusOr<gateway::v1::ListDeadLettersResponse> InboxStore::DeadLetters(const InboxId& inbox,
                                                                             uint64_t after) const {
  gateway::v1::ListDeadLettersResponse response;
  const std::string id = inbox.ToString();
  const auto found = inboxes_.find(id);
  if (found == inboxes_.end()) return response;
  const std::map<uint64_t, Dead>& dead = found->second.dead;
  response.set_total(dead.size());
  size_t bytes = 0;
  for (auto it = dead.upper_bound(after); it != dead.end(); ++it) {
    const auto& [sequence, letter] = *it;
    bytes += letter.bytes;
    if (response.letters_size() == kLettersAtOnce || (response.letters_size() > 0 && bytes > kLetterBytesAtOnce)) {
      response.set_more(true);
      break;
    }
    absl::StatusOr<gateway::v1::InboxMessage> message = Read(id, sequence);
    if (absl::IsNotFound(message.status())) continue;  // it was acknowledged while it died
    RETURN_IF_ERROR(message.status());
    message->set_deliveries(static_cast<uint32_t>(letter.deliveries));
    gateway::v1::DeadLetter& listed = *response.add_letters();
    *listed.mutable_message() = *std::move(message);
    listed.set_reason(letter.reason);
    listed.set_died_at_ms(letter.died_ms);
    listed.set_expires_at_ms(letter.expires_ms);
  }
  return response;
}

void InboxStore::InsertDead(const Message& message, const Dead& letter) {
  Index& index = inboxes_[message.inbox];
  index.dead[message.sequence] = letter;
  index.dead_bytes += letter.bytes;
  ++dead_letters_;
}

std::optional<InboxStore::Dead> InboxStore::ForgetDead(const Message& message) {
  const auto found = inboxes_.find(message.inbox);
  if (found == inboxes_.end()) return std::nullopt;
  Index& index = found->second;
  const auto it = index.dead.find(message.sequence);
  if (it == index.dead.end()) return std::nullopt;
  const Dead letter = it->second;
  index.dead_bytes -= letter.bytes;
  index.dead.erase(it);
  --dead_letters_;
  DropIfEmpty(message.inbox);
  return letter;
}

}  // namespace dotagent::gateway_service
