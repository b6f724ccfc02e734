// What happens next in virtual time: a calendar queue of small events.
//
// Most events are a network delay away and go into a ring of half-millisecond buckets at the cost of a push_back; only
// the bucket of the present is kept as a heap, and so are the few events that are further off than the ring reaches.
// (Brown, 1988, without resizing: a simulated network's delays are known beforehand.) Events of one instant come out in
// the order in which they went in, so a run repeats.
//
//   EventQueue queue;
//   queue.Push(now_ns + delay_ns, kind, index);
//   while (const std::optional<EventQueue::Event> event = queue.Pop(end_ns)) Handle(*event);
//
// An event takes 24 bytes. Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_TESTING_EVENT_QUEUE_H_
#define DOTAGENT_COMMON_DHT_TESTING_EVENT_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace dotagent::dht {

class EventQueue {
 public:
  struct Event {
    int64_t at;      // nanoseconds
    uint64_t order;  // of pushing
    uint32_t kind;   // the caller's
    uint32_t index;  // the caller's
  };

  EventQueue() : ring_(kBuckets) {}

  // `at` may be in the past of what was popped: it comes out next then.
  void Push(int64_t at, uint32_t kind, uint32_t index);

  // The earliest event, if it is not later than `limit`.
  [[nodiscard]] std::optional<Event> Pop(int64_t limit);

  [[nodiscard]] size_t size() const { return present_.size() + in_ring_ + far_.size(); }

 private:
  static constexpr int kBucketBits = 19;         // 2^19 ns: about half a millisecond
  static constexpr int64_t kBuckets = 8 * 1024;  // so the ring reaches 4.3 s

  // Moves on to the next bucket that has events. False if there is none.
  bool Advance();
  // Takes what has come within the ring's reach out of the far heap.
  void DrawNear();

  int64_t bucket_ = 0;                    // the present one, counted from time 0
  std::vector<Event> present_;            // heap: events of `bucket_` and before
  std::vector<std::vector<Event>> ring_;  // events of bucket b at b mod kBuckets
  size_t in_ring_ = 0;
  std::vector<Event> far_;  // heap: events beyond the ring
  uint64_t pushed_ = 0;
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_TESTING_EVENT_QUEUE_H_
