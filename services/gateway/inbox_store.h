// Messages that wait for agents, on disk.
//
// At least once: a message is synced to disk before its sender hears OK, is handed out until it is acknowledged, and is
// then deleted. Exactly once, as far as a gateway can: a second copy with the same sender and message id is recognised
// for as long as a message of that age would still be accepted, so that a replay is never delivered anew.
//
// Defends against floods (a quota of messages and bytes an inbox) and against a name that changes hands: an inbox
// belongs to a name *and* the key that held it when the message came, so a name's next owner reads nothing of the
// last one's.
//
// In the store, where ID is NAME/HEX_OF_KEY and numbers are 8 bytes, big-endian:
//   inbox/m/ID/SEQUENCE                 a gateway.v1.InboxMessage
//   inbox/n/ID                          the sequence that the next message gets; never goes back
//   inbox/d/ID/SENDER/MESSAGE_ID        it came; the value is when this may be forgotten, in milliseconds
//   inbox/x/TIME_MS/m|d/…               the key above (without "inbox/") that ends at that time; the value is its size
#ifndef DOTAGENT_SERVICES_GATEWAY_INBOX_STORE_H_
#define DOTAGENT_SERVICES_GATEWAY_INBOX_STORE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/record/name.h"
#include "common/storage/store.h"
#include "dotagent/gateway/v1/gateway.pb.h"

namespace dotagent::gateway_service {

// Whose inbox.
struct InboxId {
  record::Name name;
  crypto::PublicKey key;

  // "bob.agent/5f…": unique, and free of "/" but for the one.
  [[nodiscard]] std::string ToString() const;
};

struct InboxLimits {
  uint64_t max_messages = 10'000;            // an inbox
  uint64_t max_bytes = uint64_t{256} << 20;  // an inbox
  absl::Duration lifetime = absl::Hours(24 * 7);
};

struct NewMessage {
  std::string sender;  // a name
  std::string id;
  absl::Time timestamp;
  std::string json;
  std::string attachment;
  crypto::PublicKey sender_key;
};

// Not thread-safe. A call that writes waits for the disk (about 0.2 ms).
class InboxStore {
 public:
  // Reads the index of what waits. `store` must outlive it. DataLoss (STORAGE) if what is there cannot be understood.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<InboxStore>> Open(storage::Store& store,
                                                                        const InboxLimits& limits);

  // Returns true if the message was added, false if it had come before. ResourceExhausted (LIMIT) if the inbox is full,
  // FailedPrecondition (STALE) if the message is older than the lifetime; otherwise as Store::Write.
  [[nodiscard]] absl::StatusOr<bool> Add(const InboxId& inbox, const NewMessage& message, absl::Time now);

  // What waits in `from`, and what came there before, is `to`'s from now on, in order and behind what waits there: the
  // owner of a name has a new key. Returns how many messages. In steps of which each is made whole or not at all; what
  // a power cut undoes is moved the next time. Costs about 20 µs a message. Errors as Store::Write.
  [[nodiscard]] absl::StatusOr<size_t> TakeOver(const InboxId& from, const InboxId& to);

  // Forgets messages; sequences that are not there are ignored.
  [[nodiscard]] absl::Status Ack(const InboxId& inbox, const std::vector<uint64_t>& sequences);

  // The first message whose sequence is above `after`; NotFound if there is none.
  [[nodiscard]] absl::StatusOr<gateway::v1::InboxMessage> Next(const InboxId& inbox, uint64_t after) const;

  [[nodiscard]] uint64_t pending(const InboxId& inbox) const;
  // In all inboxes.
  [[nodiscard]] uint64_t size() const { return size_; }

  // Drops what has outlived its time: at most 1,000 entries a call, so that the caller is not held up. Returns true if
  // there may be more.
  [[nodiscard]] absl::StatusOr<bool> Expire(absl::Time now);

 private:
  struct Waiting {
    int64_t expires_ms = 0;
    uint64_t bytes = 0;
  };
  struct Index {
    std::map<uint64_t, Waiting> messages;  // by sequence
    uint64_t bytes = 0;
  };
  InboxStore(storage::Store& store, const InboxLimits& limits) : store_(store), limits_(limits) {}
  [[nodiscard]] absl::Status LoadIndex();
  [[nodiscard]] absl::Status CheckRoom(const InboxId& inbox, const Index* index, uint64_t bytes) const;
  [[nodiscard]] absl::StatusOr<uint64_t> NextSequence(const std::string& inbox) const;
  [[nodiscard]] absl::Status MoveSeen(const std::string& from, const std::string& to);
  void Forget(const std::string& inbox, uint64_t sequence);

  storage::Store& store_;
  const InboxLimits limits_;
  absl::flat_hash_map<std::string, Index> inboxes_;  // by InboxId::ToString; only those with messages
  uint64_t size_ = 0;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_INBOX_STORE_H_
