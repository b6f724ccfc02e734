#include "common/dht/testing/event_queue.h"

#include <algorithm>
#include <bit>
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
    PushRing(entry, static_cast<size_t>(bucket % kBuckets));
  } else {
    PushHeap(entry, &far_);
  }
}

void EventQueue::PushRing(const Entry& entry, size_t bucket) {
  std::vector<Entry>& entries = ring_[bucket];
  if (entries.capacity() == 0 && !buffers_.empty()) {
    entries = std::move(buffers_.back());
    buffers_.pop_back();
  }
  entries.push_back(entry);
  filled_[bucket / kWordBits] |= uint64_t{1} << (bucket % kWordBits);
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
    bucket_ = in_ring_ > 0 ? NextFilled() : far_.front().at >> kBucketBits;
    const auto index = static_cast<size_t>(bucket_ % kBuckets);
    filled_[index / kWordBits] &= ~(uint64_t{1} << (index % kWordBits));
    in_ring_ -= ring_[index].size();
    std::vector<Entry> passed = std::exchange(present_, std::exchange(ring_[index], {}));
    if (passed.capacity() > 0 && buffers_.size() < kMaxBuffers) buffers_.push_back(std::move(passed));
    std::make_heap(present_.begin(), present_.end(), Later);
    DrawNear();
  }
  return true;
}

int64_t EventQueue::NextFilled() const {
  int64_t bucket = bucket_ + 1;
  while (true) {
    const auto index = static_cast<size_t>(bucket % kBuckets);
    const uint64_t rest = filled_[index / kWordBits] >> (index % kWordBits);
    if (rest != 0) return bucket + std::countr_zero(rest);
    bucket += static_cast<int64_t>(kWordBits - index % kWordBits);
  }
}

void EventQueue::DrawNear() {
  while (!far_.empty() && (far_.front().at >> kBucketBits) - bucket_ < kBuckets) Push(PopHeap(&far_));
}

}  // namespace dotagent::dht
