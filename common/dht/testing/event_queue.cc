#include "common/dht/testing/event_queue.h"

#include <algorithm>

namespace dotagent::dht {
namespace {

// For heaps with the earliest event on top.
bool Later(const EventQueue::Event& a, const EventQueue::Event& b) {
  return a.at != b.at ? a.at > b.at : a.order > b.order;
}

void PushHeap(const EventQueue::Event& event, std::vector<EventQueue::Event>* heap) {
  heap->push_back(event);
  std::push_heap(heap->begin(), heap->end(), Later);
}

EventQueue::Event PopHeap(std::vector<EventQueue::Event>* heap) {
  std::pop_heap(heap->begin(), heap->end(), Later);
  const EventQueue::Event event = heap->back();
  heap->pop_back();
  return event;
}

}  // namespace

void EventQueue::Push(int64_t at, uint32_t kind, uint32_t index) {
  const Event event{at, pushed_++, kind, index};
  const int64_t bucket = at >> kBucketBits;
  if (bucket <= bucket_) {
    PushHeap(event, &present_);
  } else if (bucket - bucket_ < kBuckets) {
    ring_[static_cast<size_t>(bucket % kBuckets)].push_back(event);
    ++in_ring_;
  } else {
    PushHeap(event, &far_);
  }
}

std::optional<EventQueue::Event> EventQueue::Pop(int64_t limit) {
  if (present_.empty() && !Advance()) return std::nullopt;
  if (present_.front().at > limit) return std::nullopt;
  return PopHeap(&present_);
}

bool EventQueue::Advance() {
  while (present_.empty()) {
    if (in_ring_ == 0 && far_.empty()) return false;
    // With nothing in the ring there is no need to go through it bucket by bucket.
    bucket_ = in_ring_ > 0 ? bucket_ + 1 : far_.front().at >> kBucketBits;
    std::vector<Event>& next = ring_[static_cast<size_t>(bucket_ % kBuckets)];
    in_ring_ -= next.size();
    std::swap(present_, next);
    std::make_heap(present_.begin(), present_.end(), Later);
    DrawNear();
  }
  return true;
}

void EventQueue::DrawNear() {
  while (!far_.empty() && (far_.front().at >> kBucketBits) - bucket_ < kBuckets) {
    const Event event = PopHeap(&far_);
    const int64_t bucket = event.at >> kBucketBits;
    if (bucket <= bucket_) {
      PushHeap(event, &present_);
    } else {
      ring_[static_cast<size_t>(bucket % kBuckets)].push_back(event);
      ++in_ring_;
    }
  }
}

}  // namespace dotagent::dht
