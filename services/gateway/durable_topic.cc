#include "services/gateway/durable_topic.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::gateway_service {
namespace {

constexpr size_t kMaxWrite = 64 * 1024;  // and one event

std::string ResponseOf(const Gap& gap) {
  gateway::v1::SubscribeResponse response;
  gateway::v1::Missed& missed = *response.add_events()->mutable_missed();
  missed.set_cause(gap.cause);
  missed.set_count(gap.count);
  missed.set_first_sequence(gap.first);
  missed.set_last_sequence(gap.last);
  return response.SerializeAsString();
}

}  // namespace

void DurableTopic::Attach(std::shared_ptr<EventStream> stream) {
  if (call_) {
    const auto older = std::exchange(call_, nullptr);
    older->stream->Finish(
        ErrorWithReason(absl::StatusCode::kAborted, reason::kSuperseded,
                        absl::StrCat("another Subscribe for ", id_.name, " was opened and takes over")));
  }
  call_ = std::make_shared<Call>(std::move(stream));
  call_->stream->OnCancelled([weak = weak_from_this(), call = std::weak_ptr<Call>(call_)] {
    const auto self = weak.lock();
    const auto ended = call.lock();
    if (!ended) return;
    ended->stream->Finish(absl::CancelledError("the subscriber has gone"));
    if (self && self->call_ == ended) self->Detach();
  });
  if (made_) queues_.Touch(id_, clock_.Now());
  Pump();
}

void DurableTopic::Detach() {
  call_ = nullptr;
  queues_.Touch(id_, clock_.Now());
}

void DurableTopic::Renew(const gateway::v1::SubscribeRequest& request) {
  request_ = request;
  if (!made_) return;                                                     // it goes to disk with what is made
  queues_.Make(id_, request_, clock_.Now(), [](const absl::Status&) {});  // else the older one holds a while longer
}

absl::Status DurableTopic::Ack(uint64_t cursor) {
  return queues_.Ack(id_, cursor, call_ ? std::exchange(call_->told, 0) : 0);
}

void DurableTopic::Ready(uint64_t sequence) {
  sequence_ = sequence;
  ready_ = true;
  if (made_) return Pump();
  queues_.Make(id_, request_, clock_.Now(), [weak = weak_from_this()](const absl::Status& made) {
    if (const auto self = weak.lock()) self->OnMade(made);
  });
}

void DurableTopic::OnMade(const absl::Status& made) {
  made_ = made.ok();
  if (made_) return Pump();
  if (const auto call = std::exchange(call_, nullptr)) call->stream->Finish(made);
}

void DurableTopic::Append(std::string response) {
  queues_.Append(id_, std::move(response), clock_.Now(), [weak = weak_from_this()](const absl::Status& written) {
    const auto self = weak.lock();
    if (!self) return;
    if (!written.ok()) self->metrics_.missed.Increment();
    self->Pump();
  });
}

void DurableTopic::Take(const PublicationPtr& publication) {
  const grpc::Slice& event = publication->for_agents;
  Append(std::string(reinterpret_cast<const char*>(event.begin()), event.size()));
}

void DurableTopic::Miss(const Gap& gap) { Append(ResponseOf(gap)); }

void DurableTopic::Finish(const absl::Status& status) {
  if (const auto call = std::exchange(call_, nullptr)) call->stream->Finish(status);
  if (!absl::IsPermissionDenied(status)) return;
  made_ = false;
  queues_.Remove(id_, [](const absl::Status&) {});  // what cannot be removed lapses
}

absl::StatusOr<grpc::ByteBuffer> DurableTopic::NextWrite(Call& call) {
  std::vector<grpc::Slice> slices;
  size_t bytes = 0;
  const auto add = [&](const std::string& response) {
    slices.emplace_back(response);
    bytes += response.size();
  };
  if (!std::exchange(call.told_ready, true)) {
    gateway::v1::SubscribeResponse response;
    response.add_events()->mutable_ready()->set_sequence(sequence_);
    add(response.SerializeAsString());
  }
  if (const uint64_t lost = queues_.lost(id_); lost > call.told) {
    add(ResponseOf({.cause = gateway::v1::MISSED_CAUSE_NOT_KEPT, .count = lost - call.told}));
    call.told = lost;
  }
  while (bytes < kMaxWrite) {
    const auto event = queues_.Next(id_, call.sent);
    if (absl::IsNotFound(event.status())) break;
    RETURN_IF_ERROR(event.status());
    gateway::v1::SubscribeResponse response;
    if (!response.ParseFromString(event->response)) {
      return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kStorage,
                             "a durable subscription on disk is damaged; restore the data folder");
    }
    for (gateway::v1::SubscribeEvent& one : *response.mutable_events()) {
      if (!one.has_publication()) continue;
      one.mutable_publication()->set_cursor(event->cursor);
      metrics_.delivered.Increment();
    }
    add(response.SerializeAsString());
    call.sent = event->cursor;
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

void DurableTopic::Pump() {
  const auto call = call_;
  if (!call || call->writing || !made_ || !ready_) return;
  const absl::StatusOr<grpc::ByteBuffer> write = NextWrite(*call);
  if (!write.ok()) {
    call->stream->Finish(write.status());
    return Detach();
  }
  if (write->Length() == 0) return;
  call->writing = true;
  call->stream->Write(*write, [self = shared_from_this(), call](bool ok) {
    call->writing = false;
    if (self->call_ != call) return;
    if (ok) return self->Pump();
    call->stream->Finish(absl::CancelledError("the subscriber has gone"));
    self->Detach();
  });
}

}  // namespace dotagent::gateway_service
