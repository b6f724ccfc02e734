#include "services/gateway/inbox_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/record/record.h"
#include "services/gateway/inbox_rows.h"

namespace dotagent::gateway_service {
namespace {

using inbox_rows::Corrupt;
using inbox_rows::CounterKey;
using inbox_rows::MessageKey;
using inbox_rows::MessageTimelineKey;
using inbox_rows::Numbers;
using inbox_rows::ParseNumbers;

constexpr size_t kMaxCopies = 64;  // of a message that is being written
// A message may be dated this far ahead (record::Message::Verify), so its id is remembered that much longer.
constexpr absl::Duration kFutureAllowance = absl::Minutes(5);

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
  const auto read = [&](absl::string_view key, absl::string_view value) {
    const auto entry = inbox_rows::ParseTimeline(key);
    const auto numbers = ParseNumbers(value);
    if (!entry || !numbers || (entry->kind == inbox_rows::Kind::kDeadLetter && numbers->size() != 4)) {
      status = Corrupt("timeline");
      return false;
    }
    if (entry->kind == inbox_rows::Kind::kSeen) return true;
    const Message message{entry->inbox, entry->sequence};
    if (entry->kind == inbox_rows::Kind::kMessage) {
      Insert(message, {.expires_ms = entry->time_ms,
                       .bytes = numbers->front(),
                       .deliveries = numbers->size() > 1 ? (*numbers)[1] : 0});
    } else {
      InsertDead(message, {.expires_ms = entry->time_ms,
                           .bytes = (*numbers)[0],
                           .deliveries = (*numbers)[1],
                           .reason = static_cast<gateway::v1::DeadLetterReason>((*numbers)[2]),
                           .died_ms = static_cast<int64_t>((*numbers)[3])});
    }
    return true;
  };
  RETURN_IF_ERROR(store_.Scan(inbox_rows::kTimeline, inbox_rows::kTimeline, read));
  return status;
}

absl::Status InboxStore::CheckRoom(const InboxId& inbox, const Index* index, uint64_t bytes) const {
  if (index == nullptr) return absl::OkStatus();
  const uint64_t messages = index->messages.size() + index->adding;
  if (messages < limits_.max_messages && index->bytes + bytes <= limits_.max_bytes) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         absl::StrCat("the inbox of ", inbox.name.text(), " is full (", messages, " messages, ",
                                      index->bytes, " bytes); try again when it has been read"));
}

absl::StatusOr<uint64_t> InboxStore::NextSequence(const std::string& inbox, absl::Time now) const {
  const auto by_clock = static_cast<uint64_t>(absl::ToUnixMicros(now));
  const uint64_t least = limits_.clustered ? by_clock : 0;
  const auto index = inboxes_.find(inbox);
  if (index != inboxes_.end() && index->second.next_sequence > 0) return std::max(index->second.next_sequence, least);
  const absl::StatusOr<std::string> counter = store_.Get(CounterKey(inbox));
  if (absl::IsNotFound(counter.status())) return by_clock;
  RETURN_IF_ERROR(counter.status());
  const auto next = ParseNumbers(*counter);
  if (!next || next->size() != 1) return Corrupt("counter");
  return std::max(next->front(), least);
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
  const std::string seen_key = inbox_rows::SeenKey(id, message.sender, message.id);
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

  ASSIGN_OR_RETURN(const uint64_t sequence, NextSequence(id, now));
  gateway::v1::InboxMessage stored;
  stored.set_sequence(sequence);
  stored.set_message_json(message.json);
  stored.set_attachment(message.attachment);
  stored.set_sender_key(std::string(message.sender_key.bytes()));
  const Waiting waiting{.expires_ms = absl::ToUnixMillis(now + limits_.lifetime), .bytes = bytes};
  const int64_t forget_ms = absl::ToUnixMillis(now + limits_.lifetime + kFutureAllowance);
  storage::Batch batch;
  batch.Put(MessageKey(id, sequence), stored.SerializeAsString());
  batch.Put(MessageTimelineKey(waiting.expires_ms, id, sequence), Numbers({bytes}));
  batch.Put(CounterKey(id), Numbers({sequence + 1}));
  batch.Put(seen_key, Numbers({static_cast<uint64_t>(forget_ms)}));
  batch.Put(inbox_rows::SeenTimelineKey(forget_ms, seen_key), Numbers({0}));
  RETURN_IF_ERROR(writer_.Write(std::move(batch), storage::Durability::kSync,
                                [this, added = Message{id, sequence}, waiting, seen_key](const absl::Status& written) {
                                  EndAdd(added, waiting, seen_key, written);
                                }));
  Index& grown = inboxes_[id];
  grown.bytes += bytes;
  ++grown.adding;
  grown.next_sequence = sequence + 1;
  adding_[seen_key].push_back(std::move(done));
  return false;
}

void InboxStore::EndAdd(const Message& message, const Waiting& waiting, const std::string& seen_key,
                        const absl::Status& written) {
  Index& index = inboxes_[message.inbox];
  --index.adding;
  index.bytes -= waiting.bytes;
  written.ok() ? Insert(message, waiting) : DropIfEmpty(message.inbox);
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
  std::vector<std::pair<uint64_t, Waiting>> taken;
  for (const uint64_t sequence : sequences) {
    const std::optional<Waiting> waiting = Forget({id, sequence});
    if (!waiting) continue;
    batch.Delete(MessageKey(id, sequence));
    batch.Delete(MessageTimelineKey(waiting->expires_ms, id, sequence));
    taken.emplace_back(sequence, *waiting);
  }
  if (batch.empty()) return done(absl::OkStatus());
  const auto shared = std::make_shared<const std::pair<decltype(taken), Done>>(std::move(taken), std::move(done));
  const auto end = [this, id, shared](const absl::Status& written) {
    if (!written.ok()) {
      for (const auto& [sequence, waiting] : shared->first) Insert({id, sequence}, waiting);
    }
    shared->second(written);
  };
  // Buffered is enough: what a power cut undoes is delivered once more, which the agent must expect anyway.
  const absl::Status begun = writer_.Write(std::move(batch), storage::Durability::kBuffered, end);
  if (!begun.ok()) end(begun);
}

absl::StatusOr<size_t> InboxStore::AckThrough(const InboxId& inbox, uint64_t sequence, absl::Time now, Done done) {
  const std::string id = inbox.ToString();
  ASSIGN_OR_RETURN(const uint64_t next, NextSequence(id, now));
  if (sequence >= next) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale,
                           absl::StrCat("the cursor ", sequence,
                                        " is above all that this inbox has given out, so it is "
                                        "another gateway's; open the inbox without it"));
  }
  std::vector<uint64_t> sequences;
  if (const auto found = inboxes_.find(id); found != inboxes_.end()) {
    const auto& messages = found->second.messages;
    for (auto it = messages.begin(); it != messages.upper_bound(sequence); ++it) {
      if (!limits_.clustered || it->second.handed_out) sequences.push_back(it->first);
    }
  }
  Ack(inbox, sequences, std::move(done));
  return sequences.size();
}

absl::StatusOr<gateway::v1::InboxMessage> InboxStore::Read(const std::string& inbox, uint64_t sequence) const {
  ASSIGN_OR_RETURN(const std::string bytes, store_.Get(MessageKey(inbox, sequence)));
  gateway::v1::InboxMessage message;
  if (!message.ParseFromString(bytes)) return Corrupt("message");
  return message;
}

absl::StatusOr<gateway::v1::InboxMessage> InboxStore::Deliver(const InboxId& inbox, uint64_t after, absl::Time now) {
  const std::string id = inbox.ToString();
  while (true) {
    const auto found = inboxes_.find(id);
    if (found == inboxes_.end()) break;
    const auto next = found->second.messages.upper_bound(after);
    if (next == found->second.messages.end()) break;
    const uint64_t sequence = next->first;
    after = sequence;
    Waiting& waiting = next->second;
    if (waiting.dying) continue;
    if (limits_.max_deliveries > 0 && waiting.deliveries >= limits_.max_deliveries) {
      Bury({id, sequence}, gateway::v1::DEAD_LETTER_REASON_TOO_MANY_DELIVERIES, now);
      continue;
    }
    absl::StatusOr<gateway::v1::InboxMessage> read = Read(id, sequence);
    if (absl::IsNotFound(read.status())) return Corrupt("a message is missing");
    ASSIGN_OR_RETURN(gateway::v1::InboxMessage message, std::move(read));
    waiting.handed_out = true;
    message.set_deliveries(static_cast<uint32_t>(++waiting.deliveries));
    if (waiting.deliveries > 1) {
      // The first is not noted, since most are acknowledged then. Nor does it matter if this cannot be.
      storage::Batch batch;
      batch.Put(MessageTimelineKey(waiting.expires_ms, id, sequence), Numbers({waiting.bytes, waiting.deliveries}));
      writer_.Write(std::move(batch), storage::Durability::kBuffered, [](const absl::Status&) {}).IgnoreError();
    }
    return message;
  }
  return absl::NotFoundError("no message waits");
}

uint64_t InboxStore::pending(const InboxId& inbox) const {
  const auto found = inboxes_.find(inbox.ToString());
  return found == inboxes_.end() ? 0 : found->second.messages.size();
}

void InboxStore::Insert(const Message& message, const Waiting& waiting) {
  Index& index = inboxes_[message.inbox];
  index.messages[message.sequence] = waiting;
  index.bytes += waiting.bytes;
  ++size_;
}

std::optional<InboxStore::Waiting> InboxStore::Forget(const Message& message) {
  const auto found = inboxes_.find(message.inbox);
  if (found == inboxes_.end()) return std::nullopt;
  Index& index = found->second;
  const auto it = index.messages.find(message.sequence);
  if (it == index.messages.end()) return std::nullopt;
  const Waiting waiting = it->second;
  index.bytes -= waiting.bytes;
  index.messages.erase(it);
  --size_;
  DropIfEmpty(message.inbox);
  return waiting;
}

void InboxStore::DropIfEmpty(const std::string& inbox) {
  const auto found = inboxes_.find(inbox);
  if (found == inboxes_.end()) return;
  const Index& index = found->second;
  if (index.messages.empty() && index.dead.empty() && index.adding == 0 && index.dying == 0) inboxes_.erase(found);
}

}  // namespace dotagent::gateway_service
