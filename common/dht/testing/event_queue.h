// What happens next in virtual time: a calendar queue of small entries.
//
// Most events are a network delay away and go into a ring of half-millisecond buckets at the cost of a push_back; only
// the bucket of the present is kept as a heap, and so are the few events that are further off than the ring reaches.
// (Brown, 1988, without resizing: a simulated network's delays are known beforehand.) Events of one instant come out by
// who caused them, and of one source by its count: an order that does not depend on when they were pushed, so a run
// repeats on any number of threads.
//
//   EventQueue queue;
//   queue.Push({now_ns + delay_ns, source, number, &event});
//   while (const std::optional<EventQueue::Entry> next = queue.Pop(end_ns)) next->event->Run();
//
// An entry takes 24 bytes. Not thread-safe.
#ifndef DOTAGENT_COMMON_DHT_TESTING_EVENT_QUEUE_H_
#define DOTAGENT_COMMON_DHT_TESTING_EVENT_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

namespace dotagent::dht {

// Something that is going to happen.
class Event {
 public:
  virtual ~Event() = default;
  virtual void Run() = 0;
};

class EventQueue {
 public:
  struct Entry {
    int64_t at;       // nanoseconds
    uint32_t source;  // who caused it
    uint32_t number;  // of what the source caused: no two entries have both the same
    Event* event;     // the caller's: lives until it was popped
    [[nodiscard]] auto order() const { return std::tie(at, source, number); }
  };

  EventQueue() : ring_(kBuckets), filled_(kBuckets / kWordBits) {}

  // `entry.at` may be in the past of what was popped: it comes out next then.
  void Push(const Entry& entry);

  // When the earliest event is, if there is one. Costs what the next Pop then does not.
  [[nodiscard]] std::optional<int64_t> Earliest();

  // The earliest event, if it is not later than `limit`.
  [[nodiscard]] std::optional<Entry> Pop(int64_t limit);

  [[nodiscard]] size_t size() const { return present_.size() + in_ring_ + far_.size(); }

 private:
  static constexpr int kBucketBits = 19;         // 2^19 ns: about half a millisecond
  static constexpr int64_t kBuckets = 8 * 1024;  // so the ring reaches 4.3 s
  static constexpr size_t kWordBits = 64;
  static constexpr size_t kMaxBuffers = 128;  // as many as buckets that a network's delays fill

  // Moves on to the next bucket that has events. False if there is none.
  bool Advance();
  // Adds an event to a bucket of the ring.
  void PushRing(const Entry& entry, size_t bucket);
  // The next bucket after the present one that has events; the ring must have some. A small network's buckets are
  // mostly empty, so they are passed 64 at a time.
  [[nodiscard]] int64_t NextFilled() const;
  // Takes what has come within the ring's reach out of the far heap.
  void DrawNear();

  int64_t bucket_ = 0;                    // the present one, counted from time 0
  std::vector<Entry> present_;            // heap: events of `bucket_` and before
  std::vector<std::vector<Entry>> ring_;  // events of bucket b at b mod kBuckets
  std::vector<uint64_t> filled_;          // a bit for each bucket of the ring: it has events
  size_t in_ring_ = 0;
  // Buffers of buckets that have passed, for those to come: else every bucket would keep what its busiest turn took.
  std::vector<std::vector<Entry>> buffers_;
  std::vector<Entry> far_;  // heap: events beyond the ring
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_TESTING_EVENT_QUEUE_H_
