#include "common/dht/testing/timeline.h"

#include <algorithm>
#include <cassert>

namespace dotagent::dht {

Timeline::Timeline(absl::Time start, absl::Duration lookahead, size_t threads)
    : lookahead_(absl::ToInt64Nanoseconds(lookahead)),
      clock_(start),
      begin_(static_cast<std::ptrdiff_t>(threads)),
      end_(static_cast<std::ptrdiff_t>(threads)) {
  assert(lookahead_ > 0 && threads > 0);
  for (size_t i = 0; i < threads; ++i) lanes_.push_back(std::make_unique<Lane>(start));
  for (size_t i = 1; i < threads; ++i) threads_.emplace_back([this, i] { Work(i); });
}

Timeline::~Timeline() {
  stopping_ = true;
  begin_.arrive_and_wait();
}

Timeline::Actor Timeline::AddActor() {
  const auto actor = static_cast<Actor>(actors_++);
  lanes_[lane(actor)]->caused.push_back(0);
  return actor;
}

void Timeline::Schedule(Actor from, Actor to, int64_t at, Event* event) {
  Lane& own = *lanes_[lane(from)];
  assert(from == to || at >= own.clock.nanoseconds() + lookahead_);
  const EventQueue::Entry entry{at, from, NextNumber(from), event};
  if (lane(from) == lane(to)) {
    own.events.Push(entry);
  } else {
    own.outgoing.push_back({to, entry});
  }
}

void Timeline::Post(Actor from, std::function<void()> run) {
  Lane& own = *lanes_[lane(from)];
  own.posts.emplace_back(Order(own.clock.nanoseconds(), from, NextNumber(from)), std::move(run));
}

void Timeline::RunAt(int64_t at, std::function<void()> run) {
  outside_.emplace(Order(at, kOutside, caused_outside_++), std::move(run));
}

bool Timeline::RunWindow(int64_t limit) {
  HandOver();
  CollectPosts();
  const std::optional<int64_t> begin = NextTime();
  if (!begin || *begin > limit) return false;
  window_end_ = std::min(limit, *begin + lookahead_ - 1);
  if (!outside_.empty()) window_end_ = std::min(window_end_, std::get<0>(outside_.begin()->first));
  RunLanes();
  MoveTo(window_end_);
  HandOver();
  RunOutside();
  return true;
}

std::optional<int64_t> Timeline::NextTime() {
  std::optional<int64_t> next;
  if (!outside_.empty()) next = std::get<0>(outside_.begin()->first);
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    const std::optional<int64_t> earliest = lane->events.Earliest();
    if (earliest && (!next || *earliest < *next)) next = earliest;
  }
  return next;
}

void Timeline::RunLanes() {
  Lane* busy = nullptr;
  size_t count = 0;
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    const std::optional<int64_t> earliest = lane->events.Earliest();
    if (!earliest || *earliest > window_end_) continue;
    busy = lane.get();
    ++count;
  }
  // Waking threads costs more than one lane's few events.
  if (count <= 1) {
    if (busy != nullptr) RunLane(busy);
    return;
  }
  begin_.arrive_and_wait();
  RunLane(lanes_.front().get());
  end_.arrive_and_wait();
}

void Timeline::Work(size_t lane) {
  for (;;) {
    begin_.arrive_and_wait();
    if (stopping_) return;
    RunLane(lanes_[lane].get());
    end_.arrive_and_wait();
  }
}

void Timeline::RunLane(Lane* lane) const {
  while (const std::optional<EventQueue::Entry> next = lane->events.Pop(window_end_)) {
    lane->clock.MoveTo(next->at);
    ++lane->events_run;
    next->event->Run();
  }
}

void Timeline::HandOver() {
  for (const std::unique_ptr<Lane>& from : lanes_) {
    for (const Handover& handover : from->outgoing) lanes_[lane(handover.to)]->events.Push(handover.entry);
    from->outgoing.clear();
  }
}

void Timeline::CollectPosts() {
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    for (auto& [order, run] : lane->posts) outside_.emplace(order, std::move(run));
    lane->posts.clear();
  }
}

void Timeline::RunOutside() {
  for (CollectPosts(); !outside_.empty() && std::get<0>(outside_.begin()->first) <= clock_.nanoseconds();
       CollectPosts()) {
    const std::function<void()> run = std::move(outside_.begin()->second);
    outside_.erase(outside_.begin());
    ++outside_run_;
    run();
  }
}

void Timeline::MoveTo(int64_t nanoseconds) {
  clock_.MoveTo(nanoseconds);
  for (const std::unique_ptr<Lane>& lane : lanes_) lane->clock.MoveTo(nanoseconds);
}

uint64_t Timeline::events() const {
  uint64_t events = outside_run_;
  for (const std::unique_ptr<Lane>& lane : lanes_) events += lane->events_run;
  return events;
}

}  // namespace dotagent::dht
