// Messages that wait for agents, on disk.
//
// At least once: a message is synced to disk before its sender hears OK, is handed out until it is acknowledged, and is
// then deleted. Exactly once, as far as a gateway can: a second copy with the same sender and message id is recognised
// for as long as a message of that age would still be accepted, so that a replay is never delivered anew.
//
// Sequences rise, also from one inbox of an agent to its next: an inbox begins with the time at which it was made, in
// microseconds. So a cursor of another gateway's acknowledges nothing here, or is refused.
//
// What nobody acknowledges, in its time or however often it is delivered, becomes a dead letter: it is not delivered
// any more, and kept for a while where its recipient can list it.
//
// Writes never wait for the disk: they go out together while it is busy (storage::GroupWriter), in the order in which
// they were asked for. What is being written is known here only: a second copy waits for the first one's outcome, the
// quota counts it, and readers see it once it is on disk.
//
// Defends against floods (a quota of messages and bytes an inbox, a bound on what waits for the disk) and against a
// name that changes hands: an inbox belongs to a name *and* the key that held it when the message came, so a name's
// next owner reads nothing of the last one's.
//
// Its rows in the store: inbox_rows.h.
#ifndef DOTAGENT_SERVICES_GATEWAY_INBOX_STORE_H_
#define DOTAGENT_SERVICES_GATEWAY_INBOX_STORE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "common/record/name.h"
#include "common/storage/group_writer.h"
#include "common/storage/store.h"
#include "dotagent/cluster/v1/cluster.pb.h"
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
  uint64_t max_deliveries = 100;  // of a message; 0: any number
  // How long dead letters are kept; zero: none are. An inbox keeps the newest ones.
  absl::Duration dead_letter_lifetime = absl::Hours(24 * 7);
  uint64_t max_dead_letters = 1'000;
  uint64_t max_dead_letter_bytes = uint64_t{64} << 20;
  // An inbox may have other homes before and after this one, and at times beside it. Its sequences are then at least
  // the time, so that they rise over all homes; and a cursor acknowledges only what was handed out here since
  // ForgetHandedOut: it may be another home's, where the agent has never seen what waits here.
  bool clustered = false;
};

struct NewMessage {
  std::string sender;  // a name
  std::string id;
  absl::Time timestamp;
  std::string json;
  std::string attachment;
  crypto::PublicKey sender_key;
};

// On the loop.
class InboxStore {
 public:
  // True if the message was added, false if it had come before.
  using Added = std::function<void(const absl::StatusOr<bool>& added)>;
  using Done = storage::GroupWriter::Done;

  // Reads the index of what waits. `store` must outlive it; `post` runs work later on the loop. DataLoss (STORAGE) if
  // what is there cannot be understood.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<InboxStore>> Open(storage::Store& store,
                                                                        storage::GroupWriter::Post post,
                                                                        const InboxLimits& limits);

  // `done` is called once, after the message is on disk; from inside if nothing has to be written. ResourceExhausted
  // (LIMIT) if the inbox is full or too much waits for the disk, FailedPrecondition (STALE) if the message is older
  // than the lifetime; otherwise as Store::Write. Nobody is called back once this object is gone.
  void Add(const InboxId& inbox, const NewMessage& message, absl::Time now, Added done);

  // What waits in `from`, its dead letters and what came there before is `to`'s from now on, in order and behind what
  // waits there: the owner of a name has a new key. Returns how many messages. In steps of which each is made whole or
  // not at all; what a power cut undoes is moved the next time. Waits for the disk, and calls back what it has waited
  // for; costs about 20 µs a message. Errors as Store::Write.
  [[nodiscard]] absl::StatusOr<size_t> TakeOver(const InboxId& from, const InboxId& to, absl::Time now);

  // Forgets messages, at once; sequences that are not there are ignored. `done` is called once, when that is written;
  // from inside if there is nothing to write, or it is refused. If it fails (as Store::Write; ResourceExhausted, LIMIT)
  // they wait again.
  void Ack(const InboxId& inbox, const std::vector<uint64_t>& sequences, Done done);
  // The same for `sequence` and all that wait before it: the cursor of an agent that comes back. Returns how many.
  // FailedPrecondition (STALE), and nothing is done, if this inbox has not given out so high a sequence.
  [[nodiscard]] absl::StatusOr<size_t> AckThrough(const InboxId& inbox, uint64_t sequence, absl::Time now, Done done);

  // The first message whose sequence is above `after`, which is delivered once more; NotFound if there is none. Those
  // that have been delivered often enough are passed over and become dead letters.
  [[nodiscard]] absl::StatusOr<gateway::v1::InboxMessage> Deliver(const InboxId& inbox, uint64_t after, absl::Time now);

  // Dead letters whose sequence is above `after`: at most 100, and about 1.5 MiB.
  [[nodiscard]] absl::StatusOr<gateway::v1::ListDeadLettersResponse> DeadLetters(const InboxId& inbox,
                                                                                 uint64_t after) const;

  // An inbox that moves to another gateway of the cluster (inbox_move.cc) does so in parts: each is packed here,
  // unpacked there, and discarded here once it is on disk there. A crash on either side, or a part that is sent twice,
  // loses nothing, and what was unpacked already is recognised.
  //
  // Every inbox of which anything is kept. One pass over one row an inbox.
  [[nodiscard]] absl::StatusOr<std::vector<InboxId>> Kept() const;
  // The next part, oldest messages first: about `max_bytes`, but at least one message. Nothing in it: no more is left.
  // Unavailable while something of the inbox is being written.
  [[nodiscard]] absl::StatusOr<cluster::v1::MoveInbox> Pack(const InboxId& inbox, size_t max_bytes) const;
  // Forgets a part; `done` as in Ack.
  void Discard(const InboxId& inbox, const cluster::v1::MoveInbox& part, Done done);
  // Forgets that there ever was an inbox, once Pack has found nothing left.
  void Close(const InboxId& inbox);
  // Takes a part, behind what waits, whatever the quota says: its senders were told that it is kept. `done` once it is
  // on disk, maybe from inside; InvalidArgument (PROTOCOL), Unavailable if the same message is being written just now.
  void Unpack(const InboxId& inbox, const cluster::v1::MoveInbox& part, absl::Time now, Done done);
  // Cursors acknowledge nothing of what was handed out so far: inboxes may have other homes now.
  void ForgetHandedOut();

  [[nodiscard]] uint64_t pending(const InboxId& inbox) const;
  // In all inboxes.
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] uint64_t max_messages() const { return limits_.max_messages; }  // an inbox's; from any thread
  [[nodiscard]] uint64_t dead_letters() const { return dead_letters_; }
  // How many messages have become dead letters since Open, also where none are kept.
  [[nodiscard]] uint64_t expired() const { return expired_; }
  [[nodiscard]] uint64_t given_up() const { return given_up_; }

  // Ends what has outlived its time, messages and dead letters: at most 1,000 entries a call, so that the caller is not
  // held up, and none while those of the last call are being written. Returns true if there may be more. What cannot be
  // written is as it was.
  [[nodiscard]] absl::StatusOr<bool> Expire(absl::Time now);

  // Waits for the disk, and calls back from inside. False if nothing was being written.
  bool Flush() { return writer_.Flush(); }
  // How many messages and deletions have not been written yet, and how often the disk was synced or written to.
  [[nodiscard]] size_t being_written() const { return writer_.waiting(); }
  // 0 to 1: how much that is of what may.
  [[nodiscard]] double backlog() const { return writer_.fill(); }
  [[nodiscard]] uint64_t commits() const { return writer_.groups(); }

 private:
  struct Waiting {
    int64_t expires_ms = 0;
    uint64_t bytes = 0;
    uint64_t deliveries = 0;
    bool dying = false;       // it is being written that it is a dead letter
    bool handed_out = false;  // since ForgetHandedOut
  };
  struct Dead {
    int64_t expires_ms = 0;
    uint64_t bytes = 0;
    uint64_t deliveries = 0;
    gateway::v1::DeadLetterReason reason = gateway::v1::DEAD_LETTER_REASON_UNSPECIFIED;
    int64_t died_ms = 0;
  };
  struct Index {
    std::map<uint64_t, Waiting> messages;  // by sequence; those on disk
    std::map<uint64_t, Dead> dead;         // likewise
    uint64_t bytes = 0;                    // of the messages and of those that are being added
    uint64_t dead_bytes = 0;
    size_t adding = 0;           // messages that are being written
    size_t dying = 0;            // of the messages
    uint64_t next_sequence = 0;  // 0: the store knows
  };
  struct Message {
    std::string inbox;
    uint64_t sequence = 0;
  };
  struct Burial {
    Message message;
    Dead letter;
  };

  InboxStore(storage::Store& store, storage::GroupWriter::Post post, const InboxLimits& limits)
      : store_(store), limits_(limits), writer_(store, std::move(post)) {}
  [[nodiscard]] absl::Status LoadIndex();
  [[nodiscard]] absl::Status CheckRoom(const InboxId& inbox, const Index* index, uint64_t bytes) const;
  [[nodiscard]] absl::StatusOr<uint64_t> NextSequence(const std::string& inbox, absl::Time now) const;
  // True if `message` had come before; otherwise it is being written.
  [[nodiscard]] absl::StatusOr<bool> BeginAdd(const InboxId& inbox, const NewMessage& message, absl::Time now,
                                              Added& done);
  void EndAdd(const Message& message, const Waiting& waiting, const std::string& seen_key, const absl::Status& written);
  [[nodiscard]] absl::StatusOr<gateway::v1::InboxMessage> Read(const std::string& inbox, uint64_t sequence) const;

  // inbox_take_over.cc
  [[nodiscard]] absl::Status MoveSeen(const std::string& from, const std::string& to);
  [[nodiscard]] absl::Status MoveFirst(const std::string& from, const std::string& to, absl::Time now);
  [[nodiscard]] absl::Status MoveFirstDead(const std::string& from, const std::string& to, absl::Time now);
  // A batch that gives the message `sequence` of `from` a sequence in `to`, which is returned, but for the timeline.
  [[nodiscard]] absl::StatusOr<uint64_t> Renumber(const Message& from, const std::string& to, absl::Time now,
                                                  storage::Batch& batch) const;
  [[nodiscard]] bool IsBeingWritten(const std::string& inbox) const;

  // inbox_move.cc
  struct Unpacked;
  [[nodiscard]] absl::Status UnpackMessages(const std::string& id, const cluster::v1::MoveInbox& part, absl::Time now,
                                            Unpacked& unpacked) const;
  [[nodiscard]] absl::Status UnpackSeen(const std::string& id, const cluster::v1::MoveInbox& part,
                                        Unpacked& unpacked) const;
  void EndUnpack(const std::string& id, const Unpacked& unpacked, const absl::Status& written);
  [[nodiscard]] absl::Status PackMessages(const std::string& id, const Index& index, size_t max_bytes,
                                          cluster::v1::MoveInbox& part) const;

  // inbox_burial.cc
  [[nodiscard]] Burial BeginBurial(const Message& message, gateway::v1::DeadLetterReason reason, absl::Time now,
                                   storage::Batch& batch);
  void EndBurial(const Burial& burial, const absl::Status& written);
  [[nodiscard]] bool Waits(const Message& message) const;
  void Bury(const Message& message, gateway::v1::DeadLetterReason reason, absl::Time now);
  void DropSurplus(const std::string& inbox);
  [[nodiscard]] bool keeps_dead_letters() const { return limits_.dead_letter_lifetime > absl::ZeroDuration(); }

  void Insert(const Message& message, const Waiting& waiting);
  void InsertDead(const Message& message, const Dead& letter);
  // Takes a message out of the index; std::nullopt if it is not there.
  std::optional<Waiting> Forget(const Message& message);
  std::optional<Dead> ForgetDead(const Message& message);
  void DropIfEmpty(const std::string& inbox);

  storage::Store& store_;
  const InboxLimits limits_;
  absl::flat_hash_map<std::string, Index> inboxes_;  // by InboxId::ToString; only those with messages
  // Who waits to hear of a message that is being written, by its key in the store; the first brought it.
  absl::flat_hash_map<std::string, std::vector<Added>> adding_;
  uint64_t size_ = 0;
  uint64_t dead_letters_ = 0;
  uint64_t expired_ = 0;
  uint64_t given_up_ = 0;
  bool expiring_ = false;
  storage::GroupWriter writer_;  // the first to go: nobody is called back after that
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_INBOX_STORE_H_
