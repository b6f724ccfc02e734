// The handshakes that others have begun with a node, from their first bytes to the end: a bounded number in all and by
// address, and the order in which those that are ready for the costly part get it.
//
//   Enter ──► opening ──Knock──► waiting ──Next──► running ──Leave──►
//
// Diallers that have shown work (session/cookie.h) wait in a lane of their own, which gets three turns of four; those
// that have not, stock libp2p among them, get the fourth, and may fill three quarters of the queue at most. Within a
// lane addresses take turns, so that whoever sends many waits longest.
//
// Defends against floods from many addresses, and against those that begin and do not go on: where it is full, the
// oldest that keeps us waiting, and has for kGrace, makes room. Every operation takes constant time on average, but the
// Leave of one that waits, which looks through those that do.
#ifndef DOTAGENT_COMMON_P2P_HANDSHAKE_QUEUE_H_
#define DOTAGENT_COMMON_P2P_HANDSHAKE_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

namespace dotagent::p2p {

class HandshakeQueue {
 public:
  using Id = uint64_t;
  // A dialler on the other side of the world answers within it.
  static constexpr absl::Duration kGrace = absl::Seconds(1);

  HandshakeQueue(size_t max_in_all, size_t max_per_address)
      : max_in_all_(max_in_all), max_per_address_(max_per_address) {}

  enum class Refusal { kNone, kInAll, kPerAddress };
  struct Entered {
    Id id = 0;
    Refusal refusal = Refusal::kNone;
    std::optional<Id> evicted;  // which has to go; it has left already
  };
  [[nodiscard]] Entered Enter(const std::string& group, absl::Time now);
  // It is ready for the costly part. False if too many wait; it has to go then.
  [[nodiscard]] bool Knock(Id id, bool paid);
  struct Turn {
    Id id = 0;
    bool paid = false;
  };
  // Whose turn it is; it runs from now on. std::nullopt if nobody waits.
  [[nodiscard]] std::optional<Turn> Next(absl::Time now);
  // No effect on one that has left.
  void Leave(Id id);

  [[nodiscard]] size_t size() const { return entries_.size(); }
  [[nodiscard]] size_t waiting() const { return paid_.size + unpaid_.size; }
  [[nodiscard]] size_t waiting_paid() const { return paid_.size; }
  [[nodiscard]] size_t max() const { return max_in_all_; }

 private:
  enum class State { kIdle, kWaitingPaid, kWaitingUnpaid };  // idle: it is the dialler who keeps us waiting
  struct Entry {
    std::string group;
    State state = State::kIdle;
    absl::Time since;
    std::list<Id>::iterator idle;  // its place in idle_, if kIdle
  };
  struct Lane {
    std::deque<std::string> turns;  // addresses that have some waiting, once each
    absl::flat_hash_map<std::string, std::deque<Id>> by_group;
    size_t size = 0;
  };

  [[nodiscard]] std::optional<Id> Evict(absl::Time now);
  static Id Pop(Lane& lane);

  const size_t max_in_all_;
  const size_t max_per_address_;
  absl::flat_hash_map<Id, Entry> entries_;
  absl::flat_hash_map<std::string, size_t> by_group_;
  std::list<Id> idle_;  // the one that has been for longest first
  Lane paid_;
  Lane unpaid_;
  Id next_id_ = 1;
  size_t turns_ = 0;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_HANDSHAKE_QUEUE_H_
