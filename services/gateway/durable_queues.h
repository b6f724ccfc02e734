// What is kept, on disk, for subscribers that are away: a queue for each durable subscription.
//
// At least once: an event is on disk before its caller hears so, is handed out until it is acknowledged, and then
// deleted; a process that is killed goes on behind the last acknowledgement. Cursors rise within a queue, also over
// restarts, and are never given out twice.
//
// Bounded by count, bytes and age, and by how long nobody has come for it: the oldest events go first, and are counted
// until the subscriber has been told and has acknowledged something since. What the disk refused counts as lost too.
//
// Writes go out together with others' (storage::GroupWriter), in their order, so that whoever waits for the newest
// waits for all.
//
// Rows, in the gateway's store; ID is SUBSCRIBER/HEX_OF_KEY/NAME, numbers are 8 bytes, big-endian:
//   durable/s/ID           a gateway.v1.SubscribeRequest: what was subscribed to
//   durable/n/ID           the highest cursor that was given out when it was written, lost events, last use (ms)
//   durable/q/ID/CURSOR    when it came (ms) ‖ a gateway.v1.SubscribeResponse, serialized
#ifndef DOTAGENT_SERVICES_GATEWAY_DURABLE_QUEUES_H_
#define DOTAGENT_SERVICES_GATEWAY_DURABLE_QUEUES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/record/name.h"
#include "common/storage/group_writer.h"
#include "common/storage/store.h"
#include "dotagent/gateway/v1/gateway.pb.h"

namespace dotagent::gateway_service {

inline constexpr size_t kMaxDurableName = 64;

struct DurableLimits {
  size_t max_per_agent = 16;
  size_t max_queues = 10'000;
  size_t max_entries = 10'000;                     // a queue
  uint64_t max_bytes = uint64_t{16} << 20;         // a queue
  absl::Duration max_age = absl::Hours(24 * 7);    // of an event
  absl::Duration max_idle = absl::Hours(24 * 30);  // of a queue that nobody comes for
};

// Whose queue: a subscriber's name and key, as of an inbox, and the name that it gave the subscription.
struct DurableId {
  record::Name subscriber;
  crypto::PublicKey key;
  std::string name;

  // InvalidArgument (BAD_MESSAGE) unless `name` is 1 to 64 of A–Z a–z 0–9 _ -.
  [[nodiscard]] static absl::StatusOr<DurableId> Make(const record::Name& subscriber, const crypto::PublicKey& key,
                                                      absl::string_view name);
  [[nodiscard]] std::string ToString() const;
};

struct DurableState {
  DurableId id;
  gateway::v1::SubscribeRequest request;
  size_t waiting = 0;
  uint64_t bytes = 0;
  uint64_t lost = 0;
  absl::Time last_used;
};

// On the loop.
class DurableQueues {
 public:
  using Done = storage::GroupWriter::Done;
  struct Event {
    uint64_t cursor = 0;
    std::string response;  // a gateway.v1.SubscribeResponse, serialized
  };

  // Reads the index. `store` must outlive it; `post` runs work later on the loop. DataLoss (STORAGE) if what is there
  // cannot be understood.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<DurableQueues>> Open(storage::Store& store,
                                                                           storage::GroupWriter::Post post,
                                                                           const DurableLimits& limits);

  // Makes a queue, or gives the one that is there a newer request. `done` is called once, when it is on disk; from
  // inside if it is refused: ResourceExhausted (LIMIT).
  void Make(const DurableId& id, const gateway::v1::SubscribeRequest& request, absl::Time now, Done done);
  // Forgets a queue with all that waits in it; nothing happens if there is none.
  void Remove(const DurableId& id, Done done);
  // `subscriber` has rotated its key: what waits is the new one's, under the same names and cursors. One whose name the
  // new key has used already stays, and lapses. On disk when it returns; Unavailable (STORAGE), and what is not moved
  // stays where it is. Costs a copy of what waits.
  [[nodiscard]] absl::Status TakeOver(const record::Name& subscriber, const crypto::PublicKey& from,
                                      const crypto::PublicKey& to);
  // Somebody comes for it, or has been there until now.
  void Touch(const DurableId& id, absl::Time now);

  // Adds an event behind the others. `done` is called once: OK when it is on disk; not OK, and the event counts as
  // lost, if it was refused or is too large.
  void Append(const DurableId& id, std::string response, absl::Time now, Done done);
  // `done` is called once, never from inside, when all that was handed over before is on disk or has failed.
  void AfterWritten(Done done);

  // The first event on disk behind `after`; NotFound if there is none.
  [[nodiscard]] absl::StatusOr<Event> Next(const DurableId& id, uint64_t after) const;
  // Forgets what is up to `cursor`, and `told` of the lost ones. FailedPrecondition (STALE), and nothing is done, if no
  // such cursor was given out; NotFound if there is no such queue.
  [[nodiscard]] absl::Status Ack(const DurableId& id, uint64_t cursor, uint64_t told);

  [[nodiscard]] bool Has(const DurableId& id) const { return queues_.contains(id.ToString()); }
  // What was subscribed to; nullptr if there is no such queue. Until the next call that is not const.
  [[nodiscard]] const gateway::v1::SubscribeRequest* Request(const DurableId& id) const;
  [[nodiscard]] uint64_t lost(const DurableId& id) const;
  // How many events were handed to Append.
  [[nodiscard]] uint64_t appended() const { return appended_; }
  // Of one key, in the order of their ids; of all if it is null.
  [[nodiscard]] std::vector<DurableState> List(const crypto::PublicKey* key) const;
  [[nodiscard]] size_t size() const { return queues_.size(); }

  // Ends what has outlived its time: at most 1,000 events and queues a call. True if there may be more.
  bool Expire(absl::Time now);
  // Waits for the disk, and calls back from inside. False if nothing was being written.
  bool Flush() { return writer_.Flush(); }

 private:
  struct Entry {
    int64_t at_ms = 0;
    uint64_t bytes = 0;
    bool written = false;
  };
  struct Queue {
    DurableId id;
    gateway::v1::SubscribeRequest request;
    std::map<uint64_t, Entry> entries;  // by cursor
    uint64_t bytes = 0;
    uint64_t last = 0;  // the highest cursor that was given out
    uint64_t lost = 0;
    int64_t used_ms = 0;
  };
  using QueuePtr = std::shared_ptr<Queue>;

  DurableQueues(storage::Store& store, storage::GroupWriter::Post post, const DurableLimits& limits)
      : store_(store), limits_(limits), writer_(store, std::move(post)) {}
  [[nodiscard]] absl::Status LoadIndex();
  [[nodiscard]] absl::Status LoadQueue(const std::string& id, absl::string_view request);
  [[nodiscard]] absl::Status LoadEntry(absl::string_view id_and_cursor, absl::string_view value);
  [[nodiscard]] QueuePtr Find(const DurableId& id) const;
  [[nodiscard]] absl::Status CheckRoom(const DurableId& id) const;
  [[nodiscard]] absl::Status Rename(const QueuePtr& queue, const DurableId& to);
  [[nodiscard]] static std::string NumbersOf(const Queue& queue);
  static void PutNumbers(const Queue& queue, storage::Batch& batch);
  void DropFirst(Queue& queue, storage::Batch& batch);
  // For what may be lost in a power cut and is written again: counts, uses, deletions.
  void WriteLoosely(storage::Batch batch);

  storage::Store& store_;
  const DurableLimits limits_;
  absl::btree_map<std::string, QueuePtr> queues_;  // by DurableId::ToString
  uint64_t appended_ = 0;
  storage::GroupWriter writer_;  // the first to go: nobody is called back after that
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_DURABLE_QUEUES_H_
