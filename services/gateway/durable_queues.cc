#include "services/gateway/durable_queues.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "services/gateway/inbox_rows.h"

namespace dotagent::gateway_service {
namespace {

using inbox_rows::Numbers;
using inbox_rows::ParseNumbers;

constexpr absl::string_view kRequests = "durable/s/";
constexpr absl::string_view kNumbers = "durable/n/";
constexpr absl::string_view kEvents = "durable/q/";
constexpr size_t kNumberSize = 8;
constexpr int kMaxExpired = 1000;  // a call

std::string EventKey(absl::string_view id, uint64_t cursor) {
  return absl::StrCat(kEvents, id, "/", Numbers({cursor}));
}

absl::Status Corrupt(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage,
                         absl::StrCat("a durable subscription on disk is damaged (", absl::CHexEscape(what),
                                      "); restore the data folder"));
}

absl::Status Full(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit, what);
}

absl::Status NoQueue(const DurableId& id) {
  return ErrorWithReason(
      absl::StatusCode::kNotFound, reason::kStale,
      absl::StrCat("there is no durable subscription ", id.name, " of ", id.subscriber.text(), " here"));
}

}  // namespace

absl::StatusOr<DurableId> DurableId::Make(const record::Name& subscriber, const crypto::PublicKey& key,
                                          absl::string_view name) {
  const bool ok = !name.empty() && name.size() <= kMaxDurableName &&
                  std::all_of(name.begin(), name.end(),
                              [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; });
  if (ok) return DurableId{subscriber, key, std::string(name)};
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kBadMessage,
      absl::StrCat("the name of a durable subscription, \"", absl::CHexEscape(name.substr(0, kMaxDurableName)),
                   "\", must be 1–", kMaxDurableName, " of the characters A–Z, a–z, 0–9, _ and -"));
}

std::string DurableId::ToString() const {
  return absl::StrCat(subscriber.text(), "/", HexEncode(key.bytes()), "/", name);
}

absl::StatusOr<std::unique_ptr<DurableQueues>> DurableQueues::Open(storage::Store& store,
                                                                   storage::GroupWriter::Post post,
                                                                   const DurableLimits& limits) {
  std::unique_ptr<DurableQueues> queues(new DurableQueues(store, std::move(post), limits));
  RETURN_IF_ERROR(queues->LoadIndex());
  return queues;
}

absl::Status DurableQueues::LoadIndex() {
  absl::Status loaded;
  RETURN_IF_ERROR(store_.Scan(kRequests, "", [&](absl::string_view key, absl::string_view value) {
    loaded = LoadQueue(std::string(key.substr(kRequests.size())), value);
    return loaded.ok();
  }));
  RETURN_IF_ERROR(loaded);
  RETURN_IF_ERROR(store_.Scan(kEvents, "", [&](absl::string_view key, absl::string_view value) {
    loaded = LoadEntry(key.substr(kEvents.size()), value);
    return loaded.ok();
  }));
  return loaded;
}

absl::Status DurableQueues::LoadQueue(const std::string& id, absl::string_view request) {
  const std::vector<std::string> parts = absl::StrSplit(id, '/');
  if (parts.size() != 3) return Corrupt(id);
  const auto subscriber = record::Name::Parse(parts[0]);
  const auto key_bytes = HexDecode(parts[1]);
  if (!subscriber.ok() || !key_bytes.ok()) return Corrupt(id);
  const auto key = crypto::PublicKey::FromUncheckedBytes(*key_bytes);
  if (!key.ok()) return Corrupt(id);
  auto queue = std::make_shared<Queue>(Queue{.id = {*subscriber, *key, parts[2]}});
  if (!queue->request.ParseFromArray(request.data(), static_cast<int>(request.size()))) return Corrupt(id);
  const auto bytes = store_.Get(absl::StrCat(kNumbers, id));
  if (bytes.ok()) {
    const auto numbers = ParseNumbers(*bytes);
    if (!numbers || numbers->size() != 3) return Corrupt(id);
    queue->last = (*numbers)[0];
    queue->lost = (*numbers)[1];
    queue->used_ms = static_cast<int64_t>((*numbers)[2]);
  } else if (!absl::IsNotFound(bytes.status())) {
    return bytes.status();
  }
  queues_.emplace(id, std::move(queue));
  return absl::OkStatus();
}

absl::Status DurableQueues::LoadEntry(absl::string_view id_and_cursor, absl::string_view value) {
  if (id_and_cursor.size() < kNumberSize + 2 || value.size() < kNumberSize) return Corrupt(id_and_cursor);
  const size_t id_size = id_and_cursor.size() - kNumberSize - 1;
  const auto found = queues_.find(std::string(id_and_cursor.substr(0, id_size)));
  if (found == queues_.end()) return Corrupt(id_and_cursor);
  const uint64_t cursor = ParseNumbers(id_and_cursor.substr(id_size + 1))->front();
  Queue& queue = *found->second;
  const auto at_ms = static_cast<int64_t>(ParseNumbers(value.substr(0, kNumberSize))->front());
  queue.entries.emplace(cursor, Entry{.at_ms = at_ms, .bytes = value.size(), .written = true});
  queue.bytes += value.size();
  queue.last = std::max(queue.last, cursor);
  return absl::OkStatus();
}

DurableQueues::QueuePtr DurableQueues::Find(const DurableId& id) const {
  const auto found = queues_.find(id.ToString());
  return found == queues_.end() ? nullptr : found->second;
}

absl::Status DurableQueues::CheckRoom(const DurableId& id) const {
  if (queues_.size() >= limits_.max_queues) {
    return Full("this gateway keeps as many durable subscriptions as it can; try another one");
  }
  const auto of_agent =
      std::count_if(queues_.begin(), queues_.end(), [&](const auto& known) { return known.second->id.key == id.key; });
  if (static_cast<size_t>(of_agent) < limits_.max_per_agent) return absl::OkStatus();
  return Full(absl::StrCat("this agent has ", limits_.max_per_agent, " durable subscriptions; end one"));
}

std::string DurableQueues::NumbersOf(const Queue& queue) {
  return Numbers({queue.last, queue.lost, static_cast<uint64_t>(queue.used_ms)});
}

void DurableQueues::PutNumbers(const Queue& queue, storage::Batch& batch) {
  batch.Put(absl::StrCat(kNumbers, queue.id.ToString()), NumbersOf(queue));
}

void DurableQueues::WriteLoosely(storage::Batch batch) {
  // What cannot be written is found again, and done again, after a restart.
  static_cast<void>(writer_.Write(std::move(batch), storage::Durability::kBuffered, [](const absl::Status&) {}));
}

void DurableQueues::Make(const DurableId& id, const gateway::v1::SubscribeRequest& request, absl::Time now, Done done) {
  QueuePtr queue = Find(id);
  const bool is_new = queue == nullptr;
  if (is_new) {
    if (const absl::Status room = CheckRoom(id); !room.ok()) return done(room);
    queue = std::make_shared<Queue>(Queue{.id = id});
  }
  queue->request = request;
  queue->used_ms = absl::ToUnixMillis(now);
  storage::Batch batch;
  batch.Put(absl::StrCat(kRequests, id.ToString()), request.SerializeAsString());
  PutNumbers(*queue, batch);
  const absl::Status taken = writer_.Write(std::move(batch), storage::Durability::kSync,
                                           [this, id, queue, is_new, done](const absl::Status& written) {
                                             if (!written.ok() && is_new && Find(id) == queue) {
                                               queues_.erase(id.ToString());
                                             }
                                             done(written);
                                           });
  if (!taken.ok()) return done(taken);
  if (is_new) queues_.emplace(id.ToString(), std::move(queue));
}

void DurableQueues::Remove(const DurableId& id, Done done) {
  const QueuePtr queue = Find(id);
  if (queue == nullptr) return done(absl::OkStatus());
  storage::Batch batch;
  const std::string text = id.ToString();
  for (const auto& [cursor, entry] : queue->entries) batch.Delete(EventKey(text, cursor));
  batch.Delete(absl::StrCat(kRequests, text));
  batch.Delete(absl::StrCat(kNumbers, text));
  const absl::Status taken = writer_.Write(std::move(batch), storage::Durability::kSync, done);
  if (!taken.ok()) return done(taken);
  queues_.erase(text);
}

absl::Status DurableQueues::TakeOver(const record::Name& subscriber, const crypto::PublicKey& from,
                                     const crypto::PublicKey& to) {
  // What is being written cannot be moved.
  while (writer_.Flush()) {
  }
  std::vector<QueuePtr> moving;
  for (const auto& [_, queue] : queues_) {
    if (queue->id.key == from && queue->id.subscriber == subscriber) moving.push_back(queue);
  }
  for (const QueuePtr& queue : moving) {
    const DurableId heir{subscriber, to, queue->id.name};
    if (!Has(heir)) RETURN_IF_ERROR(Rename(queue, heir));
  }
  return absl::OkStatus();
}

absl::Status DurableQueues::Rename(const QueuePtr& queue, const DurableId& to) {
  const std::string before = queue->id.ToString();
  const std::string after = to.ToString();
  storage::Batch batch;
  for (const auto& [cursor, entry] : queue->entries) {
    ASSIGN_OR_RETURN(const std::string value, store_.Get(EventKey(before, cursor)));
    batch.Delete(EventKey(before, cursor));
    batch.Put(EventKey(after, cursor), value);
  }
  for (const absl::string_view table : {kRequests, kNumbers}) batch.Delete(absl::StrCat(table, before));
  batch.Put(absl::StrCat(kRequests, after), queue->request.SerializeAsString());
  batch.Put(absl::StrCat(kNumbers, after), NumbersOf(*queue));
  RETURN_IF_ERROR(store_.Write(batch, storage::Durability::kSync));
  queue->id = to;
  queues_.erase(before);
  queues_.emplace(after, queue);
  return absl::OkStatus();
}

void DurableQueues::Touch(const DurableId& id, absl::Time now) {
  const QueuePtr queue = Find(id);
  if (queue == nullptr) return;
  queue->used_ms = absl::ToUnixMillis(now);
  storage::Batch batch;
  PutNumbers(*queue, batch);
  WriteLoosely(std::move(batch));
}

void DurableQueues::DropFirst(Queue& queue, storage::Batch& batch) {
  const auto first = queue.entries.begin();
  batch.Delete(EventKey(queue.id.ToString(), first->first));
  queue.bytes -= first->second.bytes;
  ++queue.lost;
  queue.entries.erase(first);
}

void DurableQueues::Append(const DurableId& id, std::string response, absl::Time now, Done done) {
  const QueuePtr queue = Find(id);
  if (queue == nullptr) return done(NoQueue(id));
  ++appended_;
  const int64_t at_ms = absl::ToUnixMillis(now);
  std::string value = absl::StrCat(Numbers({static_cast<uint64_t>(at_ms)}), response);
  const Entry entry{.at_ms = at_ms, .bytes = value.size()};
  if (entry.bytes > limits_.max_bytes) {
    ++queue->lost;
    return done(Full("the event is larger than all that is kept for a durable subscription"));
  }
  const uint64_t cursor = ++queue->last;
  storage::Batch batch;
  batch.Put(EventKey(id.ToString(), cursor), value);
  queue->entries.emplace(cursor, entry);
  queue->bytes += entry.bytes;
  const uint64_t lost_before = queue->lost;
  while (queue->entries.size() > limits_.max_entries || queue->bytes > limits_.max_bytes) DropFirst(*queue, batch);
  if (queue->lost != lost_before) PutNumbers(*queue, batch);
  const auto finish = [queue, cursor, done](const absl::Status& written) {
    const auto added = queue->entries.find(cursor);
    if (added != queue->entries.end()) {  // else it was acknowledged or dropped meanwhile
      if (written.ok()) {
        added->second.written = true;
      } else {
        queue->bytes -= added->second.bytes;
        queue->entries.erase(added);
        ++queue->lost;
      }
    }
    done(written);
  };
  const absl::Status taken = writer_.Write(std::move(batch), storage::Durability::kSync, finish);
  if (!taken.ok()) finish(taken);
}

void DurableQueues::AfterWritten(Done done) {
  storage::Batch nothing;
  const absl::Status taken = writer_.Write(std::move(nothing), storage::Durability::kBuffered, done);
  if (!taken.ok()) done(taken);
}

absl::StatusOr<DurableQueues::Event> DurableQueues::Next(const DurableId& id, uint64_t after) const {
  const QueuePtr queue = Find(id);
  if (queue == nullptr) return NoQueue(id);
  const auto next = queue->entries.upper_bound(after);
  // One that is being written comes first, so that the order holds.
  if (next == queue->entries.end() || !next->second.written) return absl::NotFoundError("nothing waits");
  ASSIGN_OR_RETURN(std::string value, store_.Get(EventKey(id.ToString(), next->first)));
  if (value.size() < kNumberSize) return Corrupt(id.ToString());
  return Event{next->first, value.substr(kNumberSize)};
}

absl::Status DurableQueues::Ack(const DurableId& id, uint64_t cursor, uint64_t told) {
  const QueuePtr queue = Find(id);
  if (queue == nullptr) return NoQueue(id);
  if (cursor > queue->last) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kStale,
                           absl::StrCat("no cursor ", cursor, " was given out; the highest is ", queue->last));
  }
  storage::Batch batch;
  const std::string text = id.ToString();
  while (!queue->entries.empty() && queue->entries.begin()->first <= cursor) {
    const auto first = queue->entries.begin();
    batch.Delete(EventKey(text, first->first));
    queue->bytes -= first->second.bytes;
    queue->entries.erase(first);
  }
  queue->lost -= std::min(told, queue->lost);
  PutNumbers(*queue, batch);
  WriteLoosely(std::move(batch));
  return absl::OkStatus();
}

const gateway::v1::SubscribeRequest* DurableQueues::Request(const DurableId& id) const {
  const QueuePtr queue = Find(id);
  return queue == nullptr ? nullptr : &queue->request;
}

uint64_t DurableQueues::lost(const DurableId& id) const {
  const QueuePtr queue = Find(id);
  return queue == nullptr ? 0 : queue->lost;
}

std::vector<DurableState> DurableQueues::List(const crypto::PublicKey* key) const {
  std::vector<DurableState> states;
  for (const auto& [_, queue] : queues_) {
    if (key != nullptr && queue->id.key != *key) continue;
    states.push_back({.id = queue->id,
                      .request = queue->request,
                      .waiting = queue->entries.size(),
                      .bytes = queue->bytes,
                      .lost = queue->lost,
                      .last_used = absl::FromUnixMillis(queue->used_ms)});
  }
  return states;
}

bool DurableQueues::Expire(absl::Time now) {
  const int64_t oldest_ms = absl::ToUnixMillis(now - limits_.max_age);
  const int64_t idle_ms = absl::ToUnixMillis(now - limits_.max_idle);
  int left = kMaxExpired;
  std::vector<DurableId> idle;
  for (const auto& [_, queue] : queues_) {
    if (queue->used_ms < idle_ms) idle.push_back(queue->id);
    storage::Batch batch;
    while (left > 0 && !queue->entries.empty() && queue->entries.begin()->second.at_ms < oldest_ms) {
      DropFirst(*queue, batch);
      --left;
    }
    if (batch.empty()) continue;
    PutNumbers(*queue, batch);
    WriteLoosely(std::move(batch));
  }
  for (const DurableId& id : idle) {
    if (left-- <= 0) break;
    Remove(id, [](const absl::Status&) {});  // what cannot be removed now is tried again
  }
  return left <= 0;
}

}  // namespace dotagent::gateway_service
