// Which stream sends next, when several have something to send.
//
// Four levels by deficit round robin (Shreedhar and Varghese, 1995): in a round each level may send its weight in
// bytes. Departure from the paper: within a round the highest level that has bytes left goes first, instead of each in
// turn, so an urgent frame waits for one frame at most, until its level has used up its share; and a round's shares are
// not saved up. What the weights guarantee to a level when all of them have more to send than fits (its floor):
//
//   critical 16/29 (55 %)   high 8/29 (28 %)   normal 4/29 (14 %)   low 1/29 (3.4 %)
//
// Streams of one level take turns of kTurn bytes each.
//
//   s.Add(4, Priority::kHigh);
//   while (const std::optional<StreamId> id = s.Next()) s.Charge(*id, Send(*id));   // Remove(id) when it has no more
//
// Every call is O(1). Not thread-safe.
#ifndef DOTAGENT_COMMON_SESSION_SCHEDULER_H_
#define DOTAGENT_COMMON_SESSION_SCHEDULER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "common/session/types.h"

namespace dotagent::session {

class Scheduler {
 public:
  static constexpr size_t kTurn = 16 * 1024;
  static constexpr std::array<int64_t, kPriorities> kWeights = {16, 8, 4, 1};  // times kTurn bytes a round

  Scheduler();

  // `id` has something to send. No effect if that is known.
  void Add(StreamId id, Priority priority);
  // It has nothing any more, or may not send. No effect if it is not here.
  void Remove(StreamId id);
  // No effect if it is not here.
  void SetPriority(StreamId id, Priority priority);

  // Who sends next: the same one until Charge, Add, Remove or SetPriority. std::nullopt if nobody waits.
  [[nodiscard]] std::optional<StreamId> Next();
  // `id`, which Next returned, has sent `bytes`.
  void Charge(StreamId id, size_t bytes);

  [[nodiscard]] bool Waits(StreamId id) const { return entries_.contains(id); }
  [[nodiscard]] bool empty() const { return entries_.empty(); }

 private:
  struct Level {
    std::list<StreamId> waiting;
    int64_t deficit = 0;  // bytes that the level may still send in this round
  };
  struct Entry {
    size_t level = 0;
    std::list<StreamId>::iterator place;
    size_t turn = 0;  // bytes sent in this turn; what a frame overdraws is paid in the next
  };

  void StartRound();

  std::array<Level, kPriorities> levels_;
  absl::flat_hash_map<StreamId, Entry> entries_;
};

}  // namespace dotagent::session

#endif  // DOTAGENT_COMMON_SESSION_SCHEDULER_H_
