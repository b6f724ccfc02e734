#include "services/gateway/inbox_store.h"

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/record/record.h"

namespace dotagent::gateway_service {
namespace {

constexpr absl::string_view kTimeline = "inbox/x/";
constexpr size_t kNumberSize = 8;
constexpr size_t kExpireAtOnce = 1000;
// A message may be dated this far ahead (record::Message::Verify), so its id is remembered that much longer.
constexpr absl::Duration kFutureAllowance = absl::Minutes(5);

std::string Number(uint64_t value) {
  std::string bytes(kNumberSize, '\0');
  for (size_t i = 0; i < kNumberSize; ++i) bytes[i] = static_cast<char>(value >> (8 * (kNumberSize - 1 - i)));
  return bytes;
}

std::optional<uint64_t> ParseNumber(absl::string_view bytes) {
  if (bytes.size() != kNumberSize) return std::nullopt;
  uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

std::string MessageKey(absl::string_view inbox, uint64_t sequence) {
  return absl::StrCat("inbox/m/", inbox, "/", Number(sequence));
}
std::string CounterKey(absl::string_view inbox) { return absl::StrCat("inbox/n/", inbox); }
std::string SeenKey(absl::string_view inbox, const NewMessage& message) {
  return absl::StrCat("inbox/d/", inbox, "/", message.sender, "/", message.id);
}
// `key` begins with "inbox/".
std::string TimelineKey(int64_t expires_ms, absl::string_view key) {
  return absl::StrCat(kTimeline, Number(static_cast<uint64_t>(expires_ms)), key.substr(5));
}

struct TimelineEntry {
  int64_t expires_ms = 0;
  std::string key;  // what ends then
  // Set for a message.
  std::string inbox;
  std::optional<uint64_t> sequence;
};

std::optional<TimelineEntry> ParseTimeline(absl::string_view key) {
  key.remove_prefix(kTimeline.size());
  if (key.size() < kNumberSize + 4) return std::nullopt;
  TimelineEntry entry;
  entry.expires_ms = static_cast<int64_t>(*ParseNumber(key.substr(0, kNumberSize)));
  absl::string_view rest = key.substr(kNumberSize);
  entry.key = absl::StrCat("inbox", rest);
  if (absl::StartsWith(rest, "/m/")) {
    rest.remove_prefix(3);
    if (rest.size() < kNumberSize + 2) return std::nullopt;
    entry.sequence = ParseNumber(rest.substr(rest.size() - kNumberSize));
    entry.inbox = std::string(rest.substr(0, rest.size() - kNumberSize - 1));
  }
  return entry;
}

absl::Status Corrupt(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage,
                         absl::StrCat("the inbox on disk is damaged (", what, "); restore the data folder"));
}

}  // namespace

std::string InboxId::ToString() const { return absl::StrCat(name.text(), "/", HexEncode(key.bytes())); }

absl::StatusOr<std::unique_ptr<InboxStore>> InboxStore::Open(storage::Store& store, const InboxLimits& limits) {
  std::unique_ptr<InboxStore> inboxes(new InboxStore(store, limits));  // NOLINT: the constructor is private
  RETURN_IF_ERROR(inboxes->LoadIndex());
  return inboxes;
}

absl::Status InboxStore::LoadIndex() {
  absl::Status status;
  RETURN_IF_ERROR(store_.Scan(kTimeline, kTimeline, [&](absl::string_view key, absl::string_view value) {
    const auto entry = ParseTimeline(key);
    const auto bytes = ParseNumber(value);
    if (!entry || !bytes) {
      status = Corrupt("timeline");
      return false;
    }
    if (!entry->sequence) return true;
    Index& index = inboxes_[entry->inbox];
    index.messages[*entry->sequence] = {entry->expires_ms, *bytes};
    index.bytes += *bytes;
    ++size_;
    return true;
  }));
  return status;
}

absl::Status InboxStore::CheckRoom(const InboxId& inbox, const Index* index, uint64_t bytes) const {
  if (index == nullptr) return absl::OkStatus();
  if (index->messages.size() < limits_.max_messages && index->bytes + bytes <= limits_.max_bytes) {
    return absl::OkStatus();
  }
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         absl::StrCat("the inbox of ", inbox.name.text(), " is full (", index->messages.size(),
                                      " messages, ", index->bytes, " bytes); try again when it has been read"));
}

absl::StatusOr<uint64_t> InboxStore::NextSequence(const std::string& inbox) const {
  const absl::StatusOr<std::string> counter = store_.Get(CounterKey(inbox));
  if (absl::IsNotFound(counter.status())) return 1;
  RETURN_IF_ERROR(counter.status());
  const std::optional<uint64_t> next = ParseNumber(*counter);
  return next ? absl::StatusOr<uint64_t>(*next) : Corrupt("counter");
}

// Before the messages: a second copy of one is then recognised wherever it comes.
absl::Status InboxStore::MoveSeen(const std::string& from, const std::string& to) {
  const std::string old_prefix = absl::StrCat("inbox/d/", from, "/");
  storage::Batch batch;
  RETURN_IF_ERROR(store_.Scan(old_prefix, old_prefix, [&](absl::string_view key, absl::string_view value) {
    const std::string moved = absl::StrCat("inbox/d/", to, "/", key.substr(old_prefix.size()));
    const auto forget_ms = static_cast<int64_t>(ParseNumber(value).value_or(0));
    batch.Delete(key);
    batch.Delete(TimelineKey(forget_ms, key));
    batch.Put(moved, value);
    batch.Put(TimelineKey(forget_ms, moved), Number(0));
    return true;
  }));
  return batch.empty() ? absl::OkStatus() : store_.Write(batch, storage::Durability::kBuffered);
}

absl::StatusOr<size_t> InboxStore::TakeOver(const InboxId& from, const InboxId& to) {
  const std::string old_id = from.ToString();
  const std::string new_id = to.ToString();
  RETURN_IF_ERROR(MoveSeen(old_id, new_id));
  size_t moved = 0;
  while (true) {
    const auto found = inboxes_.find(old_id);
    if (found == inboxes_.end()) return moved;
    const uint64_t old_sequence = found->second.messages.begin()->first;
    const Waiting waiting = found->second.messages.begin()->second;
    const std::string old_key = MessageKey(old_id, old_sequence);
    ASSIGN_OR_RETURN(const std::string bytes, store_.Get(old_key));
    gateway::v1::InboxMessage message;
    if (!message.ParseFromString(bytes)) return Corrupt("message");
    ASSIGN_OR_RETURN(const uint64_t sequence, NextSequence(new_id));
    message.set_sequence(sequence);
    const std::string new_key = MessageKey(new_id, sequence);
    storage::Batch batch;
    batch.Delete(old_key);
    batch.Delete(TimelineKey(waiting.expires_ms, old_key));
    batch.Put(new_key, message.SerializeAsString());
    batch.Put(TimelineKey(waiting.expires_ms, new_key), Number(waiting.bytes));
    batch.Put(CounterKey(new_id), Number(sequence + 1));
    RETURN_IF_ERROR(store_.Write(batch, storage::Durability::kBuffered));
    Forget(old_id, old_sequence);
    Index& grown = inboxes_[new_id];
    grown.messages[sequence] = waiting;
    grown.bytes += waiting.bytes;
    ++size_;
    ++moved;
  }
}

absl::StatusOr<bool> InboxStore::Add(const InboxId& inbox, const NewMessage& message, absl::Time now) {
  if (message.timestamp < now - limits_.lifetime) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale,
                           absl::StrCat("message ", message.id, " is older than ",
                                        absl::FormatDuration(limits_.lifetime), "; sign it anew"));
  }
  const std::string id = inbox.ToString();
  const std::string seen_key = SeenKey(id, message);
  const auto seen = store_.Get(seen_key);
  if (seen.ok()) return false;
  if (!absl::IsNotFound(seen.status())) return seen.status();

  const auto index = inboxes_.find(id);
  const uint64_t bytes = message.json.size() + message.attachment.size();
  RETURN_IF_ERROR(CheckRoom(inbox, index == inboxes_.end() ? nullptr : &index->second, bytes));

  ASSIGN_OR_RETURN(const uint64_t sequence, NextSequence(id));
  gateway::v1::InboxMessage stored;
  stored.set_sequence(sequence);
  stored.set_message_json(message.json);
  stored.set_attachment(message.attachment);
  stored.set_sender_key(std::string(message.sender_key.bytes()));
  const int64_t expires_ms = absl::ToUnixMillis(now + limits_.lifetime);
  const int64_t forget_ms = absl::ToUnixMillis(now + limits_.lifetime + kFutureAllowance);
  const std::string message_key = MessageKey(id, sequence);
  storage::Batch batch;
  batch.Put(message_key, stored.SerializeAsString());
  batch.Put(TimelineKey(expires_ms, message_key), Number(bytes));
  batch.Put(CounterKey(id), Number(sequence + 1));
  batch.Put(seen_key, Number(static_cast<uint64_t>(forget_ms)));
  batch.Put(TimelineKey(forget_ms, seen_key), Number(0));
  RETURN_IF_ERROR(store_.Write(batch, storage::Durability::kSync));

  Index& grown = inboxes_[id];
  grown.messages[sequence] = {expires_ms, bytes};
  grown.bytes += bytes;
  ++size_;
  return true;
}

absl::Status InboxStore::Ack(const InboxId& inbox, const std::vector<uint64_t>& sequences) {
  const std::string id = inbox.ToString();
  const auto found = inboxes_.find(id);
  if (found == inboxes_.end()) return absl::OkStatus();
  storage::Batch batch;
  for (const uint64_t sequence : sequences) {
    const auto waiting = found->second.messages.find(sequence);
    if (waiting == found->second.messages.end()) continue;
    const std::string key = MessageKey(id, sequence);
    batch.Delete(key);
    batch.Delete(TimelineKey(waiting->second.expires_ms, key));
  }
  if (batch.empty()) return absl::OkStatus();
  // Buffered is enough: what a power cut undoes is delivered once more, which the agent must expect anyway.
  RETURN_IF_ERROR(store_.Write(batch, storage::Durability::kBuffered));
  for (const uint64_t sequence : sequences) Forget(id, sequence);
  return absl::OkStatus();
}

absl::StatusOr<gateway::v1::InboxMessage> InboxStore::Next(const InboxId& inbox, uint64_t after) const {
  const std::string id = inbox.ToString();
  const auto found = inboxes_.find(id);
  if (found != inboxes_.end()) {
    const auto next = found->second.messages.upper_bound(after);
    if (next != found->second.messages.end()) {
      ASSIGN_OR_RETURN(const std::string bytes, store_.Get(MessageKey(id, next->first)));
      gateway::v1::InboxMessage message;
      if (!message.ParseFromString(bytes)) return Corrupt("message");
      return message;
    }
  }
  return absl::NotFoundError("no message waits");
}

uint64_t InboxStore::pending(const InboxId& inbox) const {
  const auto found = inboxes_.find(inbox.ToString());
  return found == inboxes_.end() ? 0 : found->second.messages.size();
}

absl::StatusOr<bool> InboxStore::Expire(absl::Time now) {
  const int64_t now_ms = absl::ToUnixMillis(now);
  storage::Batch batch;
  std::vector<TimelineEntry> expired;
  RETURN_IF_ERROR(store_.Scan(kTimeline, kTimeline, [&](absl::string_view key, absl::string_view) {
    auto entry = ParseTimeline(key);
    if (!entry || entry->expires_ms > now_ms || expired.size() == kExpireAtOnce) return false;
    batch.Delete(key);
    batch.Delete(entry->key);
    expired.push_back(*std::move(entry));
    return true;
  }));
  if (batch.empty()) return false;
  RETURN_IF_ERROR(store_.Write(batch, storage::Durability::kBuffered));
  for (const TimelineEntry& entry : expired) {
    if (entry.sequence) Forget(entry.inbox, *entry.sequence);
  }
  return expired.size() == kExpireAtOnce;
}

void InboxStore::Forget(const std::string& inbox, uint64_t sequence) {
  const auto found = inboxes_.find(inbox);
  if (found == inboxes_.end()) return;
  const auto waiting = found->second.messages.find(sequence);
  if (waiting == found->second.messages.end()) return;
  found->second.bytes -= waiting->second.bytes;
  found->second.messages.erase(waiting);
  --size_;
  if (found->second.messages.empty()) inboxes_.erase(found);
}

}  // namespace dotagent::gateway_service
