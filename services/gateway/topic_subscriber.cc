#include "services/gateway/topic_subscriber.h"

#include <string>
#include <variant>

namespace dotagent::gateway_service {
namespace {

// As much as one write takes, and one publication at least.
constexpr size_t kMaxWrite = 64 * 1024;

grpc::Slice SliceOf(const gateway::v1::SubscribeResponse& response) {
  return grpc::Slice(response.SerializeAsString());
}

grpc::Slice SliceOf(const Gap& gap) {
  gateway::v1::SubscribeResponse response;
  gateway::v1::Missed& missed = *response.add_events()->mutable_missed();
  missed.set_cause(gap.cause);
  missed.set_count(gap.count);
  missed.set_first_sequence(gap.first);
  missed.set_last_sequence(gap.last);
  return SliceOf(response);
}

}  // namespace

void Flusher::Add(std::shared_ptr<Flushable> waiting) {
  waiting_.push_back(std::move(waiting));
  if (waiting_.size() > 1) return;
  post_([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Run();
  });
}

void Flusher::Run() {
  std::vector<std::shared_ptr<Flushable>> ready;
  ready.swap(waiting_);
  for (const auto& flushable : ready) flushable->Flush();
}

void TopicSubscriber::Ready(uint64_t sequence) {
  from_ = sequence;
  ready_.emplace().set_sequence(sequence);
  Wake();
}

void TopicSubscriber::Take(const PublicationPtr& publication) {
  if (publication->sequence <= from_) return;
  if (!backlog_.Push(publication)) metrics_.missed.Increment();
  Wake();
}

void TopicSubscriber::Miss(const Gap& gap) {
  if (gap.cause == gateway::v1::MISSED_CAUSE_RESTART) from_ = 0;
  backlog_.PushGap(gap);
  Wake();
}

void TopicSubscriber::Wake() {
  if (writing_ || woken_ || finished_) return;
  woken_ = true;
  flusher_->Add(shared_from_this());
}

grpc::ByteBuffer TopicSubscriber::NextWrite() {
  std::vector<grpc::Slice> slices;
  size_t bytes = 0;
  if (ready_) {
    gateway::v1::SubscribeResponse response;
    *response.add_events()->mutable_ready() = *std::exchange(ready_, std::nullopt);
    slices.push_back(SliceOf(response));
  }
  while (bytes < kMaxWrite) {
    const auto entry = backlog_.Pop();
    if (!entry) break;
    if (const auto* publication = std::get_if<PublicationPtr>(&*entry)) {
      slices.push_back((*publication)->for_agents);
      metrics_.delivered.Increment();
    } else {
      slices.push_back(SliceOf(std::get<Gap>(*entry)));
    }
    bytes += slices.back().size();
  }
  return {slices.data(), slices.size()};
}

void TopicSubscriber::Flush() {
  woken_ = false;
  if (writing_ || finished_ || (!ready_ && backlog_.empty())) return;
  writing_ = true;
  stream_->Write(NextWrite(), [self = shared_from_this()](bool ok) {
    self->writing_ = false;
    if (self->finished_) return;
    if (ok) return self->Flush();
    const auto broken = self->broken_;  // a copy: it may end this subscriber
    broken();
  });
}

void TopicSubscriber::Finish(const absl::Status& status) {
  if (std::exchange(finished_, true)) return;
  broken_ = nullptr;
  stream_->Finish(status);
}

}  // namespace dotagent::gateway_service
