// Where publications go: TopicSink, and the one that is an agent's Subscribe call.
//
// Defends against agents that do not read: their backlog is bounded, one write is under way, and what they miss they
// are told. Nobody else waits for them.
#ifndef DOTAGENT_SERVICES_GATEWAY_TOPIC_SUBSCRIBER_H_
#define DOTAGENT_SERVICES_GATEWAY_TOPIC_SUBSCRIBER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/rpc/call.h"
#include "common/telemetry/metrics.h"
#include "services/gateway/event_stream.h"
#include "services/gateway/topic_backlog.h"

namespace dotagent::gateway_service {

// On the loop, as everything below.
class TopicSink {
 public:
  virtual ~TopicSink() = default;
  virtual void Take(const PublicationPtr& publication) = 0;
  virtual void Miss(const Gap& gap) = 0;
  // Another gateway, for its subscribers.
  [[nodiscard]] virtual bool is_gateway() const = 0;
};

// An agent's subscription here.
class LocalSink : public TopicSink {
 public:
  // The first event: publications behind `sequence` come.
  virtual void Ready(uint64_t sequence) = 0;
  virtual void Finish(const absl::Status& status) = 0;
};

class Flushable {
 public:
  virtual ~Flushable() = default;
  virtual void Flush() = 0;
};

// Lets those who have news write them at the end of the loop's turn: what came in the same turn goes out in one write.
class Flusher : public std::enable_shared_from_this<Flusher> {
 public:
  explicit Flusher(rpc::Executor post) : post_(std::move(post)) {}
  // At most once each before its Flush.
  void Add(std::shared_ptr<Flushable> waiting);

 private:
  void Run();
  const rpc::Executor post_;
  std::vector<std::shared_ptr<Flushable>> waiting_;
};

struct TopicMetrics {
  telemetry::Counter& delivered;  // publications written to agents
  telemetry::Counter& missed;
};

class TopicSubscriber : public LocalSink, public Flushable, public std::enable_shared_from_this<TopicSubscriber> {
 public:
  // `broken` is called if the call turns out to be over; Finish must still be called.
  TopicSubscriber(std::shared_ptr<EventStream> stream, std::shared_ptr<Flusher> flusher,
                  const TopicBacklog::Limits& limits, const TopicMetrics& metrics, std::function<void()> broken)
      : stream_(std::move(stream)),
        flusher_(std::move(flusher)),
        backlog_(limits, gateway::v1::MISSED_CAUSE_SLOW_SUBSCRIBER),
        metrics_(metrics),
        broken_(std::move(broken)) {}

  // The first event. Publications up to `sequence` are passed over.
  void Ready(uint64_t sequence) override;
  void Take(const PublicationPtr& publication) override;
  void Miss(const Gap& gap) override;
  [[nodiscard]] bool is_gateway() const override { return false; }
  void Flush() override;
  void Finish(const absl::Status& status) override;

 private:
  void Wake();
  [[nodiscard]] grpc::ByteBuffer NextWrite();

  const std::shared_ptr<EventStream> stream_;
  const std::shared_ptr<Flusher> flusher_;
  TopicBacklog backlog_;
  const TopicMetrics metrics_;
  std::function<void()> broken_;
  std::optional<gateway::v1::SubscriptionReady> ready_;  // not written yet
  uint64_t from_ = 0;
  bool writing_ = false;
  bool woken_ = false;  // the flusher knows
  bool finished_ = false;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_TOPIC_SUBSCRIBER_H_
