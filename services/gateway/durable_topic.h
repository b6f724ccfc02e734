// A durable subscription at work: takes publications into its queue (durable_queues.h) whether or not its subscriber is
// here, and hands what waits to the Subscribe call that is open, if there is one.
//
// Defends against a subscriber that does not read (one write is under way, of at most 64 KiB and one event) or does not
// acknowledge (the queue's bounds; what goes out again does so on the next call only), and against two of them: a newer
// call takes the place of an older one.
#ifndef DOTAGENT_SERVICES_GATEWAY_DURABLE_TOPIC_H_
#define DOTAGENT_SERVICES_GATEWAY_DURABLE_TOPIC_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/durable_queues.h"
#include "services/gateway/event_stream.h"
#include "services/gateway/topic_subscriber.h"

namespace dotagent::gateway_service {

// On the loop.
class DurableTopic : public LocalSink, public std::enable_shared_from_this<DurableTopic> {
 public:
  // `made`: the queue is there. All must outlive it.
  DurableTopic(DurableId id, gateway::v1::SubscribeRequest request, bool made, DurableQueues& queues,
               const Clock& clock, const TopicMetrics& metrics)
      : id_(std::move(id)),
        request_(std::move(request)),
        made_(made),
        queues_(queues),
        clock_(clock),
        metrics_(metrics) {}

  // Serves a Subscribe call until it ends; `ready` is its first event, as soon as there is a queue on disk.
  void Attach(std::shared_ptr<EventStream> stream);
  [[nodiscard]] bool open() const { return call_ != nullptr; }
  // A newer signature, or another token.
  void Renew(const gateway::v1::SubscribeRequest& request);
  // As DurableQueues::Ack.
  [[nodiscard]] absl::Status Ack(uint64_t cursor);

  // Publications from now on come: makes the queue, if there is none.
  void Ready(uint64_t sequence) override;
  void Take(const PublicationPtr& publication) override;
  void Miss(const Gap& gap) override;
  [[nodiscard]] bool is_gateway() const override { return false; }
  // Ends the call. PermissionDenied ends the subscription for good, with its queue.
  void Finish(const absl::Status& status) override;

  [[nodiscard]] const DurableId& id() const { return id_; }

 private:
  struct Call {
    explicit Call(std::shared_ptr<EventStream> s) : stream(std::move(s)) {}
    const std::shared_ptr<EventStream> stream;
    bool told_ready = false;
    bool writing = false;
    uint64_t sent = 0;  // cursor of the newest event that went out
    uint64_t told = 0;  // of lost events, since the last acknowledgement
  };
  void Append(std::string response);
  void OnMade(const absl::Status& made);
  void Detach();
  void Pump();
  [[nodiscard]] absl::StatusOr<grpc::ByteBuffer> NextWrite(Call& call);

  const DurableId id_;
  gateway::v1::SubscribeRequest request_;
  bool made_;
  bool ready_ = false;
  uint64_t sequence_ = 0;
  DurableQueues& queues_;
  const Clock& clock_;
  const TopicMetrics metrics_;
  std::shared_ptr<Call> call_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_DURABLE_TOPIC_H_
