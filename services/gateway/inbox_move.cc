// InboxStore: an inbox that moves to another gateway of the cluster, in parts.
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/record/canonical_json.h"
#include "services/gateway/inbox_rows.h"
#include "services/gateway/inbox_store.h"

namespace dotagent::gateway_service {
namespace {

using cluster::v1::MovedMessage;
using cluster::v1::MoveInbox;
using inbox_rows::CounterKey;
using inbox_rows::DeadLetterTimelineKey;
using inbox_rows::MessageKey;
using inbox_rows::MessageTimelineKey;
using inbox_rows::Numbers;
using inbox_rows::SeenTimelineKey;

constexpr int kSeenAtOnce = 4096;

std::string SeenPrefix(absl::string_view inbox) { return absl::StrCat(inbox_rows::kSeenTable, inbox, "/"); }

// SENDER/ID of a message whose form was checked when it came; empty if it has none.
std::string SeenIdOf(const std::string& message_json) {
  const record::Json message = record::Json::parse(message_json, nullptr, false);
  if (!message.is_object()) return "";
  const auto sender = message.find("sender");
  const auto id = message.find("id");
  if (sender == message.end() || id == message.end() || !sender->is_string() || !id->is_string()) return "";
  return absl::StrCat(sender->get_ref<const std::string&>(), "/", id->get_ref<const std::string&>());
}

int64_t ForgetTime(absl::string_view value) {
  const auto numbers = inbox_rows::ParseNumbers(value);
  return numbers ? static_cast<int64_t>(numbers->front()) : 0;
}

absl::Status Malformed(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                         absl::StrCat("an inbox that moves: ", what));
}

absl::Status BeingWritten() {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kStorage,
                         "something of this inbox is being written; move it again");
}

}  // namespace

// A part on its way to the disk.
struct InboxStore::Unpacked {
  storage::Batch batch;
  std::vector<std::pair<uint64_t, Waiting>> waiting;
  std::vector<std::pair<uint64_t, Dead>> dead;
  absl::flat_hash_set<std::string> seen_keys;  // of these messages
  uint64_t next = 0;                           // sequence
  uint64_t bytes = 0;                          // of those that wait
};

absl::StatusOr<std::vector<InboxId>> InboxStore::Kept() const {
  std::vector<InboxId> kept;
  absl::Status status;
  const std::string table = CounterKey("");
  RETURN_IF_ERROR(store_.Scan(table, table, [&](absl::string_view key, absl::string_view) {
    const std::pair<std::string, std::string> id = absl::StrSplit(key.substr(table.size()), absl::MaxSplits('/', 1));
    auto name = record::Name::Parse(id.first);
    const auto bytes = HexDecode(id.second);
    auto public_key = crypto::PublicKey::FromUncheckedBytes(bytes.ok() ? *bytes : "");
    if (name.ok() && public_key.ok()) {
      kept.push_back({*std::move(name), *std::move(public_key)});
    } else {
      status = inbox_rows::Corrupt("counter");
    }
    return status.ok();
  }));
  RETURN_IF_ERROR(status);
  return kept;
}

absl::Status InboxStore::PackMessages(const std::string& id, const Index& index, size_t max_bytes,
                                      MoveInbox& part) const {
  size_t bytes = 0;
  const auto pack = [&](uint64_t sequence) -> absl::StatusOr<MovedMessage*> {
    absl::StatusOr<gateway::v1::InboxMessage> message = Read(id, sequence);
    if (absl::IsNotFound(message.status())) return nullptr;  // it was acknowledged while it died
    RETURN_IF_ERROR(message.status());
    MovedMessage& moved = *part.add_messages();
    moved.set_message(message->SerializeAsString());
    const absl::StatusOr<std::string> seen =
        store_.Get(absl::StrCat(SeenPrefix(id), SeenIdOf(message->message_json())));
    moved.set_forget_at_ms(seen.ok() ? ForgetTime(*seen) : 0);
    bytes += moved.message().size();
    return &moved;
  };
  for (const auto& [sequence, waiting] : index.messages) {
    if (bytes >= max_bytes) return absl::OkStatus();
    ASSIGN_OR_RETURN(MovedMessage * moved, pack(sequence));
    if (moved == nullptr) return inbox_rows::Corrupt("a message is missing");
    moved->set_expires_at_ms(waiting.expires_ms);
    moved->set_deliveries(waiting.deliveries);
  }
  for (const auto& [sequence, letter] : index.dead) {
    if (bytes >= max_bytes) return absl::OkStatus();
    ASSIGN_OR_RETURN(MovedMessage * moved, pack(sequence));
    if (moved == nullptr) continue;
    moved->set_expires_at_ms(letter.expires_ms);
    moved->set_deliveries(letter.deliveries);
    moved->set_dead_reason(letter.reason);
    moved->set_died_at_ms(letter.died_ms);
  }
  return absl::OkStatus();
}

// What came and is gone goes last: as long as a message waits, its "seen" row goes with it, so that the new home does
// not take it for one that it has had.
absl::StatusOr<MoveInbox> InboxStore::Pack(const InboxId& inbox, size_t max_bytes) const {
  const std::string id = inbox.ToString();
  if (IsBeingWritten(id)) return BeingWritten();
  MoveInbox part;
  part.set_name(inbox.name.text());
  part.set_key(std::string(inbox.key.bytes()));
  if (const auto found = inboxes_.find(id); found != inboxes_.end()) {
    RETURN_IF_ERROR(PackMessages(id, found->second, max_bytes, part));
    if (part.messages_size() > 0) return part;
  }
  const std::string prefix = SeenPrefix(id);
  RETURN_IF_ERROR(store_.Scan(prefix, prefix, [&](absl::string_view key, absl::string_view value) {
    cluster::v1::MovedSeen& seen = *part.add_seen();
    seen.set_id(std::string(key.substr(prefix.size())));
    seen.set_forget_at_ms(ForgetTime(value));
    return part.seen_size() < kSeenAtOnce;
  }));
  return part;
}

void InboxStore::Discard(const InboxId& inbox, const MoveInbox& part, Done done) {
  const std::string id = inbox.ToString();
  storage::Batch batch;
  std::vector<std::pair<uint64_t, Waiting>> waiting;
  std::vector<std::pair<uint64_t, Dead>> dead;
  const auto forget_seen = [&](const std::string& seen_id, int64_t forget_ms) {
    const std::string key = absl::StrCat(SeenPrefix(id), seen_id);
    batch.Delete(key);
    batch.Delete(SeenTimelineKey(forget_ms, key));
  };
  for (const MovedMessage& moved : part.messages()) {
    gateway::v1::InboxMessage message;
    if (!message.ParseFromString(moved.message())) continue;  // Pack made it
    const Message row{id, message.sequence()};
    if (const auto waited = Forget(row)) {
      batch.Delete(MessageTimelineKey(waited->expires_ms, id, row.sequence));
      waiting.emplace_back(row.sequence, *waited);
    } else if (const auto letter = ForgetDead(row)) {
      batch.Delete(DeadLetterTimelineKey(letter->expires_ms, id, row.sequence));
      dead.emplace_back(row.sequence, *letter);
    }
    batch.Delete(MessageKey(id, row.sequence));
    if (moved.forget_at_ms() > 0) forget_seen(SeenIdOf(message.message_json()), moved.forget_at_ms());
  }
  for (const cluster::v1::MovedSeen& seen : part.seen()) forget_seen(seen.id(), seen.forget_at_ms());
  if (batch.empty()) return done(absl::OkStatus());
  const auto end = [this, id, waiting = std::move(waiting), dead = std::move(dead),
                    done = std::move(done)](const absl::Status& written) {
    if (!written.ok()) {
      for (const auto& [sequence, row] : waiting) Insert({id, sequence}, row);
      for (const auto& [sequence, row] : dead) InsertDead({id, sequence}, row);
    }
    done(written);
  };
  // Buffered is enough: what a power cut undoes is moved again, and known there.
  const absl::Status begun = writer_.Write(std::move(batch), storage::Durability::kBuffered, end);
  if (!begun.ok()) end(begun);
}

void InboxStore::Close(const InboxId& inbox) {
  storage::Batch batch;
  batch.Delete(CounterKey(inbox.ToString()));
  // If it cannot be written, the inbox is looked at once more.
  writer_.Write(std::move(batch), storage::Durability::kBuffered, [](const absl::Status&) {}).IgnoreError();
}

absl::Status InboxStore::UnpackMessages(const std::string& id, const MoveInbox& part, absl::Time now,
                                        Unpacked& unpacked) const {
  ASSIGN_OR_RETURN(unpacked.next, NextSequence(id, now));
  for (const MovedMessage& moved : part.messages()) {
    gateway::v1::InboxMessage message;
    if (!message.ParseFromString(moved.message())) return Malformed("a message cannot be read");
    const std::string seen_id = SeenIdOf(message.message_json());
    if (seen_id.empty()) return Malformed("a message has no sender or id");
    const std::string seen_key = absl::StrCat(SeenPrefix(id), seen_id);
    if (adding_.contains(seen_key)) return BeingWritten();
    if (unpacked.seen_keys.contains(seen_key)) continue;
    const absl::StatusOr<std::string> seen = store_.Get(seen_key);
    if (seen.ok()) continue;
    if (!absl::IsNotFound(seen.status())) return seen.status();

    unpacked.seen_keys.insert(seen_key);
    unpacked.batch.Put(seen_key, Numbers({static_cast<uint64_t>(moved.forget_at_ms())}));
    unpacked.batch.Put(SeenTimelineKey(moved.forget_at_ms(), seen_key), Numbers({0}));
    const bool died = moved.dead_reason() != gateway::v1::DEAD_LETTER_REASON_UNSPECIFIED;
    if (died && !keeps_dead_letters()) continue;
    const uint64_t sequence = unpacked.next++;
    const uint64_t bytes = message.message_json().size() + message.attachment().size();
    message.set_sequence(sequence);
    unpacked.batch.Put(MessageKey(id, sequence), message.SerializeAsString());
    if (died) {
      const Dead letter{.expires_ms = moved.expires_at_ms(),
                        .bytes = bytes,
                        .deliveries = moved.deliveries(),
                        .reason = static_cast<gateway::v1::DeadLetterReason>(moved.dead_reason()),
                        .died_ms = moved.died_at_ms()};
      unpacked.batch.Put(DeadLetterTimelineKey(letter.expires_ms, id, sequence),
                         Numbers({letter.bytes, letter.deliveries, static_cast<uint64_t>(letter.reason),
                                  static_cast<uint64_t>(letter.died_ms)}));
      unpacked.dead.emplace_back(sequence, letter);
    } else {
      unpacked.batch.Put(MessageTimelineKey(moved.expires_at_ms(), id, sequence), Numbers({bytes, moved.deliveries()}));
      unpacked.waiting.emplace_back(
          sequence, Waiting{.expires_ms = moved.expires_at_ms(), .bytes = bytes, .deliveries = moved.deliveries()});
      unpacked.bytes += bytes;
    }
  }
  return absl::OkStatus();
}

absl::Status InboxStore::UnpackSeen(const std::string& id, const MoveInbox& part, Unpacked& unpacked) const {
  for (const cluster::v1::MovedSeen& moved : part.seen()) {
    const std::string key = absl::StrCat(SeenPrefix(id), moved.id());
    if (adding_.contains(key) || unpacked.seen_keys.contains(key)) continue;
    const absl::StatusOr<std::string> seen = store_.Get(key);
    if (seen.ok()) continue;
    if (!absl::IsNotFound(seen.status())) return seen.status();
    unpacked.batch.Put(key, Numbers({static_cast<uint64_t>(moved.forget_at_ms())}));
    unpacked.batch.Put(SeenTimelineKey(moved.forget_at_ms(), key), Numbers({0}));
  }
  return absl::OkStatus();
}

void InboxStore::Unpack(const InboxId& inbox, const MoveInbox& part, absl::Time now, Done done) {
  const std::string id = inbox.ToString();
  auto unpacked = std::make_shared<Unpacked>();
  absl::Status status = UnpackMessages(id, part, now, *unpacked);
  if (status.ok()) status = UnpackSeen(id, part, *unpacked);
  if (!status.ok() || unpacked->batch.empty()) return done(status);
  storage::Batch batch = std::move(unpacked->batch);
  batch.Put(CounterKey(id), Numbers({unpacked->next}));  // also if nothing waits: Kept goes by it
  status = writer_.Write(std::move(batch), storage::Durability::kSync,
                         [this, id, unpacked, done](const absl::Status& written) {
                           EndUnpack(id, *unpacked, written);
                           done(written);
                         });
  if (!status.ok()) return done(status);
  if (unpacked->waiting.empty() && unpacked->dead.empty() && unpacked->seen_keys.empty()) return;
  Index& grown = inboxes_[id];
  grown.bytes += unpacked->bytes;
  ++grown.adding;
  grown.next_sequence = unpacked->next;
  for (const std::string& key : unpacked->seen_keys) adding_[key];
}

void InboxStore::EndUnpack(const std::string& id, const Unpacked& unpacked, const absl::Status& written) {
  if (unpacked.waiting.empty() && unpacked.dead.empty() && unpacked.seen_keys.empty()) return;
  Index& index = inboxes_[id];
  --index.adding;
  index.bytes -= unpacked.bytes;
  if (written.ok()) {
    for (const auto& [sequence, row] : unpacked.waiting) Insert({id, sequence}, row);
    for (const auto& [sequence, row] : unpacked.dead) InsertDead({id, sequence}, row);
    DropSurplus(id);
  }
  DropIfEmpty(id);
  // Who brought a copy meanwhile.
  std::vector<Added> waiting;
  for (const std::string& key : unpacked.seen_keys) {
    auto told = adding_.extract(key);
    for (Added& added : told.mapped()) waiting.push_back(std::move(added));
  }
  for (const Added& added : waiting) added(written.ok() ? absl::StatusOr<bool>(false) : written);
}

void InboxStore::ForgetHandedOut() {
  for (auto& [_, index] : inboxes_) {
    for (auto& [sequence, waiting] : index.messages) waiting.handed_out = false;
  }
}

}  // namespace dotagent::gateway_service
