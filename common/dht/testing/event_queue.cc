#include "common/dht/testing/event_queue.h"

#include <algorithm>
#include <utility>

namespace dotagent::dht {
namespace {

// For heaps with the earliest event on top.
bool Later(const EventQueue::Entry& a, const EventQueue::Entry& b) { return a.order() > b.order(); }

void PushHeap(const EventQueue::Entry& entry, std::vector<EventQueue::Entry>* heap) {
  heap->push_back(entry);
  std::push_heap(heap->begin(), heap->end(), Later);
}

EventQueue::Entry PopHeap(std::vector<EventQueue::Entry>* heap) {
  std::pop_heap(heap->begin(), heap->end(), Later);
  const EventQueue::Entry entry = heap->back();
  heap->pop_back();
  return entry;
}

}  // namespace

void EventQueue::Push(const Entry& entry) {
  const int64_t bucket = entry.at >> kBucketBits;
  if (bucket <= bucket_) {
    PushHeap(entry, &present_);
  } else if (bucket - bucket_ < kBuckets) {
    PushRing(entry, &ring_[static_cast<size_t>(bucket % kBuckets)]);
  } else {
    PushHeap(entry, &far_);
  }
}

void EventQueue::PushRing(const Entry& entry, std::vector<Entry>* bucket) {
  if (bucket->capacity() == 0 && !buffers_.empty()) {
    *bucket = std::move(buffers_.back());
    buffers_.pop_back();
  }
  bucket->push_back(entry);
  ++in_ring_;
}

std::optional<int64_t> EventQueue::Earliest() {
  if (present_.empty() && !Advance()) return std::nullopt;
  return present_.front().at;
}

std::optional<EventQueue::Entry> EventQueue::Pop(int64_t limit) {
  const std::optional<int64_t> earliest = Earliest();
  if (!earliest || *earliest > limit) return std::nullopt;
  return PopHeap(&present_);
}

bool EventQueue::Advance() {
  while (present_.empty()) {
    if (in_ring_ == 0 && far_.empty()) return false;
    // With nothing in the ring there is no need to go through it bucket by bucket.
    bucket_ = in_ring_ > 0 ? bucket_ + 1 : far_.front().at >> kBucketBits;
    std::vector<Entry>& next = ring_[static_cast<size_t>(bucket_ % kBuckets)];
    in_ring_ -= next.size();
    std::vector<Entry> passed = std::exchange(present_, std::exchange(next, {}));
    if (passed.capacity() > 0 && buffers_.size() < kMaxBuffers) buffers_.push_back(std::move(passed));
    std::make_heap(present_.begin(), present_.end(), Later);
    DrawNear();
  }
  return true;
}

void EventQueue::DrawNear() {
  while (!far_.empty() && (far_.front().at >> kBucketBits) - bucket_ < kBuckets) Push(PopHeap(&far_));
}

}  // namespace dotagent::dht
