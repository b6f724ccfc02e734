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
constexpr size_t kMaxCopies = 64;  // of a message that is being written
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

absl::StatusOr<std::unique_ptr<InboxStore>> InboxStore::Open(storage::Store& store, storage::GroupWriter::Post post,
                                                             const InboxLimits& limits) {
  std::unique_ptr<InboxStore> inboxes(new InboxStore(store, std::move(post), limits));  // NOLINT: private constructor
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
    inboxes_[entry->inbox].bytes += *bytes;
    Insert(entry->inbox, *entry->sequence, {entry->expires_ms, *bytes});
    return true;
  }));
  return status;
}

absl::Status InboxStore::CheckRoom(const InboxId& inbox, const Index* index, uint64_t bytes) const {
  if (index == nullptr) return absl::OkStatus();
  const uint64_t messages = index->messages.size() + index->being_written;
  if (messages < limits_.max_messages && index->bytes + bytes <= limits_.max_bytes) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         absl::StrCat("the inbox of ", inbox.name.text(), " is full (", messages, " messages, ",
                                      index->bytes, " bytes); try again when it has been read"));
}

absl::StatusOr<uint64_t> InboxStore::NextSequence(const std::string& inbox) const {
  const auto index = inboxes_.find(inbox);
  if (index != inboxes_.end() && index->second.next_sequence > 0) return index->second.next_sequence;
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
  // What is being written could not be moved, and who hears of it may ask for more.
  while (IsBeingWritten(old_id) || IsBeingWritten(new_id)) writer_.Flush();
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
    grown.bytes += waiting.bytes;
    grown.next_sequence = sequence + 1;
    Insert(new_id, sequence, waiting);
    ++moved;
  }
}

void InboxStore::Add(const InboxId& inbox, const NewMessage& message, absl::Time now, Added done) {
  if (message.timestamp < now - limits_.lifetime) {
    return done(ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale,
                                absl::StrCat("message ", message.id, " is older than ",
                                             absl::FormatDuration(limits_.lifetime), "; sign it anew")));
  }
  const absl::StatusOr<bool> came_before = BeginAdd(inbox, message, now, done);
  if (!came_before.ok()) return done(came_before.status());
  if (*came_before) done(false);
}

absl::StatusOr<bool> InboxStore::BeginAdd(const InboxId& inbox, const NewMessage& message, absl::Time now,
                                          Added& done) {
  const std::string id = inbox.ToString();
  const std::string seen_key = SeenKey(id, message);
  if (const auto first = adding_.find(seen_key); first != adding_.end()) {
    if (first->second.size() == kMaxCopies) {
      return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                             "too many copies of this message wait for the disk; try again later");
    }
    first->second.push_back(std::move(done));
    return false;
  }
  const auto seen = store_.Get(seen_key);
  if (seen.ok()) return true;
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
  const Waiting waiting{absl::ToUnixMillis(now + limits_.lifetime), bytes};
  const int64_t forget_ms = absl::ToUnixMillis(now + limits_.lifetime + kFutureAllowance);
  const std::string message_key = MessageKey(id, sequence);
  storage::Batch batch;
  batch.Put(message_key, stored.SerializeAsString());
  batch.Put(TimelineKey(waiting.expires_ms, message_key), Number(bytes));
  batch.Put(CounterKey(id), Number(sequence + 1));
  batch.Put(seen_key, Number(static_cast<uint64_t>(forget_ms)));
  batch.Put(TimelineKey(forget_ms, seen_key), Number(0));
  RETURN_IF_ERROR(writer_.Write(std::move(batch), storage::Durability::kSync,
                                [this, id, sequence, waiting, seen_key](const absl::Status& written) {
                                  EndAdd(id, sequence, waiting, seen_key, written);
                                }));
  Index& grown = inboxes_[id];
  grown.bytes += bytes;
  ++grown.being_written;
  grown.next_sequence = sequence + 1;
  adding_[seen_key].push_back(std::move(done));
  return false;
}

void InboxStore::EndAdd(const std::string& inbox, uint64_t sequence, const Waiting& waiting,
                        const std::string& seen_key, const absl::Status& written) {
  Index& index = inboxes_[inbox];
  --index.being_written;
  if (written.ok()) {
    Insert(inbox, sequence, waiting);
  } else {
    index.bytes -= waiting.bytes;
    DropIfEmpty(inbox);
  }
  // Taken out first: who is told may add more.
  const auto told = adding_.extract(seen_key);
  bool first = true;
  for (const Added& done : told.mapped()) {
    done(written.ok() ? absl::StatusOr<bool>(std::exchange(first, false)) : written);
  }
}

void InboxStore::Ack(const InboxId& inbox, const std::vector<uint64_t>& sequences, Done done) {
  const std::string id = inbox.ToString();
  storage::Batch batch;
  Taken taken;
  for (const uint64_t sequence : sequences) {
    const std::optional<Waiting> waiting = Forget(id, sequence);
    if (!waiting) continue;
    const std::string key = MessageKey(id, sequence);
    batch.Delete(key);
    batch.Delete(TimelineKey(waiting->expires_ms, key));
    taken.emplace_back(sequence, *waiting);
  }
  if (batch.empty()) return done(absl::OkStatus());
  const auto shared = std::make_shared<const std::pair<Taken, Done>>(std::move(taken), std::move(done));
  const auto end = [this, id, shared](const absl::Status& written) {
    if (!written.ok()) {
      for (const auto& [sequence, waiting] : shared->first) {
        inboxes_[id].bytes += waiting.bytes;
        Insert(id, sequence, waiting);
      }
    }
    shared->second(written);
  };
  // Buffered is enough: what a power cut undoes is delivered once more, which the agent must expect anyway.
  const absl::Status begun = writer_.Write(std::move(batch), storage::Durability::kBuffered, end);
  if (!begun.ok()) end(begun);
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
  if (expiring_) return true;
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
  const bool more = expired.size() == kExpireAtOnce;
  std::vector<std::pair<std::string, Taken::value_type>> taken;
  for (const TimelineEntry& entry : expired) {
    if (!entry.sequence) continue;
    const std::optional<Waiting> waiting = Forget(entry.inbox, *entry.sequence);
    if (waiting) taken.push_back({entry.inbox, {*entry.sequence, *waiting}});
  }
  const auto end = [this, taken = std::move(taken)](const absl::Status& written) {
    expiring_ = false;
    if (written.ok()) return;
    for (const auto& [inbox, message] : taken) {
      inboxes_[inbox].bytes += message.second.bytes;
      Insert(inbox, message.first, message.second);
    }
  };
  expiring_ = true;
  const absl::Status begun = writer_.Write(std::move(batch), storage::Durability::kBuffered, end);
  if (!begun.ok()) end(begun);
  RETURN_IF_ERROR(begun);
  return more;
}

bool InboxStore::IsBeingWritten(const std::string& inbox) const {
  const auto found = inboxes_.find(inbox);
  return found != inboxes_.end() && found->second.being_written > 0;
}

void InboxStore::Insert(const std::string& inbox, uint64_t sequence, const Waiting& waiting) {
  inboxes_[inbox].messages[sequence] = waiting;
  ++size_;
}

std::optional<InboxStore::Waiting> InboxStore::Forget(const std::string& inbox, uint64_t sequence) {
  const auto found = inboxes_.find(inbox);
  if (found == inboxes_.end()) return std::nullopt;
  const auto message = found->second.messages.find(sequence);
  if (message == found->second.messages.end()) return std::nullopt;
  const Waiting waiting = message->second;
  found->second.bytes -= waiting.bytes;
  found->second.messages.erase(message);
  --size_;
  DropIfEmpty(inbox);
  return waiting;
}

void InboxStore::DropIfEmpty(const std::string& inbox) {
  const auto found = inboxes_.find(inbox);
  if (found == inboxes_.end() || !found->second.messages.empty() || found->second.being_written > 0) return;
  inboxes_.erase(found);
}

}  // namespace dotagent::gateway_service
