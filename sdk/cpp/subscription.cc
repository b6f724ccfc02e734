#include "sdk/cpp/subscription.h"

#include <grpcpp/client_context.h>

#include <deque>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/rpc/status.h"
#include "sdk/cpp/agent.h"

namespace dotagent::sdk {
namespace {

namespace v1 = ::dotagent::gateway::v1;

constexpr size_t kMaxWaiting = 64;

MissedPublications::Cause CauseOf(v1::MissedCause cause) {
  switch (cause) {
    case v1::MISSED_CAUSE_SLOW_SUBSCRIBER:
      return MissedPublications::Cause::kSlowSubscriber;
    case v1::MISSED_CAUSE_SLOW_LINK:
      return MissedPublications::Cause::kSlowLink;
    case v1::MISSED_CAUSE_BROKEN_LINK:
      return MissedPublications::Cause::kBrokenLink;
    case v1::MISSED_CAUSE_RESTART:
      return MissedPublications::Cause::kRestart;
    case v1::MISSED_CAUSE_NOT_KEPT:
      return MissedPublications::Cause::kNotKept;
    default:
      return MissedPublications::Cause::kOther;
  }
}

}  // namespace

absl::string_view CauseName(MissedPublications::Cause cause) {
  switch (cause) {
    case MissedPublications::Cause::kSlowSubscriber:
      return "slow subscriber";
    case MissedPublications::Cause::kSlowLink:
      return "slow link";
    case MissedPublications::Cause::kBrokenLink:
      return "broken link";
    case MissedPublications::Cause::kRestart:
      return "restart";
    case MissedPublications::Cause::kNotKept:
      return "not kept";
    case MissedPublications::Cause::kOther:
      break;
  }
  return "other";
}

struct Subscription::Impl {
  Impl(Agent& owner, std::shared_ptr<GatewayClient> client, const record::Message& request, record::TopicPattern asked)
      : agent(owner), gateway(std::move(client)), publisher(request.recipient()), pattern(std::move(asked)) {}

  // Reads until the stream ends; waits when the queue is full, and so lets the gateway wait.
  void ReadAll() {
    v1::SubscribeResponse response;
    while (stream->Read(&response)) {
      absl::MutexLock lock(&mutex);
      mutex.Await(absl::Condition(this, &Impl::HasRoom));
      if (cancelled) break;
      waiting.push_back(std::move(response));
    }
    const absl::Status end = rpc::FromGrpc(stream->Finish());
    absl::MutexLock lock(&mutex);
    ended = true;
    status = end.ok() ? ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                                        "the gateway closed the subscription; subscribe again")
                      : end;
  }

  [[nodiscard]] bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return cancelled || waiting.size() < kMaxWaiting;
  }
  [[nodiscard]] bool HasNews() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return cancelled || ended || !waiting.empty();
  }

  // An answer of the gateway may hold several events.
  [[nodiscard]] absl::StatusOr<v1::SubscribeEvent> Take(absl::Duration timeout) {
    absl::MutexLock lock(&mutex);
    for (;;) {
      if (!mutex.AwaitWithTimeout(absl::Condition(this, &Impl::HasNews), timeout)) {
        return absl::DeadlineExceededError("nothing has come");
      }
      if (cancelled) return absl::CancelledError("the subscription was closed here");
      if (waiting.empty()) return status;
      v1::SubscribeResponse& front = waiting.front();
      std::optional<v1::SubscribeEvent> event;
      if (taken < front.events_size()) event = std::move(*front.mutable_events(taken++));
      if (taken >= front.events_size()) {
        waiting.pop_front();
        taken = 0;
      }
      if (event) return *std::move(event);
    }
  }

  void Cancel() {
    {
      absl::MutexLock lock(&mutex);
      cancelled = true;
    }
    context.TryCancel();
  }

  [[nodiscard]] SubscriptionItem Check(const v1::Publication& in) {
    const auto verified = [&]() -> absl::StatusOr<ReceivedPublication> {
      // Unchecked: CheckKey has it equal the key of a record, which was checked.
      ASSIGN_OR_RETURN(const crypto::PublicKey claimed, crypto::PublicKey::FromUncheckedBytes(in.sender_key()));
      ASSIGN_OR_RETURN(record::Message message, record::Message::Verify(in.message_json(), claimed, absl::Now()));
      ASSIGN_OR_RETURN(record::Topic topic, record::PublicationTopic(message));
      if (message.sender() != publisher || !pattern.Matches(topic)) {
        return ErrorWithReason(
            absl::StatusCode::kInvalidArgument, reason::kProtocol,
            absl::StrCat("nobody has asked for the topic ", topic.text(), " of ", message.sender().text()));
      }
      RETURN_IF_ERROR(WithContext(agent.CheckKey(publisher, claimed), "the key that signed the publication"));
      return ReceivedPublication{in.sequence(), in.cursor(), std::move(topic), std::move(message)};
    }();
    if (!verified.ok()) return RejectedPublication{in.sequence(), in.cursor(), verified.status()};
    return *verified;
  }

  Agent& agent;
  const std::shared_ptr<GatewayClient> gateway;
  const record::Name publisher;
  const record::TopicPattern pattern;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::SubscribeResponse>> stream;
  uint64_t sequence = 0;
  std::string subscriber;
  std::string durable_name;
  absl::Mutex mutex;
  std::deque<v1::SubscribeResponse> waiting ABSL_GUARDED_BY(mutex);
  int taken ABSL_GUARDED_BY(mutex) = 0;  // events of the first
  bool ended ABSL_GUARDED_BY(mutex) = false;
  bool cancelled ABSL_GUARDED_BY(mutex) = false;
  absl::Status status ABSL_GUARDED_BY(mutex);
  std::thread reader;
};

Subscription::Subscription() = default;

absl::StatusOr<std::unique_ptr<Subscription>> Subscription::Open(Agent& agent, std::shared_ptr<GatewayClient> gateway,
                                                                 const record::Message& request,
                                                                 const std::string& token,
                                                                 const std::string& durable_name) {
  if (!durable_name.empty()) RETURN_IF_ERROR(gateway->Require("durable-subscriptions"));
  ASSIGN_OR_RETURN(record::TopicPattern pattern, record::SubscriptionPattern(request));
  std::unique_ptr<Subscription> subscription(new Subscription());
  const absl::Duration timeout = gateway->options().timeout;
  subscription->impl_ = std::make_unique<Impl>(agent, std::move(gateway), request, std::move(pattern));
  Impl& impl = *subscription->impl_;
  v1::SubscribeRequest asked;
  asked.set_message_json(request.json());
  asked.set_token(token);
  asked.set_durable_name(durable_name);
  impl.subscriber = request.sender().text();
  impl.durable_name = durable_name;
  impl.gateway->Authorize(impl.context);
  impl.stream = impl.gateway->stub().Subscribe(&impl.context, asked);
  impl.reader = std::thread([&impl] { impl.ReadAll(); });
  ASSIGN_OR_RETURN(const v1::SubscribeEvent first, impl.Take(timeout));
  if (!first.has_ready()) {
    return ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol,
                           "the gateway did not begin the subscription with `ready`");
  }
  impl.sequence = first.ready().sequence();
  return subscription;
}

Subscription::~Subscription() {
  if (!impl_) return;
  impl_->Cancel();
  if (impl_->reader.joinable()) impl_->reader.join();
}

void Subscription::Cancel() { impl_->Cancel(); }

absl::Status Subscription::Ack(uint64_t cursor) {
  v1::AckPublicationsRequest request;
  request.set_name(impl_->subscriber);
  request.set_durable_name(impl_->durable_name);
  request.set_cursor(cursor);
  v1::AckPublicationsResponse response;
  return impl_->gateway->Run([&](grpc::ClientContext& context) {
    return impl_->gateway->stub().AckPublications(&context, request, &response);
  });
}

absl::StatusOr<SubscriptionItem> Subscription::Next(absl::Duration timeout) {
  ASSIGN_OR_RETURN(const v1::SubscribeEvent event, impl_->Take(timeout));
  switch (event.event_case()) {
    case v1::SubscribeEvent::kPublication:
      return impl_->Check(event.publication());
    case v1::SubscribeEvent::kMissed:
      return MissedPublications{.cause = CauseOf(event.missed().cause()),
                                .count = event.missed().count(),
                                .first_sequence = event.missed().first_sequence(),
                                .last_sequence = event.missed().last_sequence()};
    case v1::SubscribeEvent::kReady:
    case v1::SubscribeEvent::EVENT_NOT_SET:
      break;
  }
  return ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol,
                         "the gateway sent an event that this release does not know; use a newer one");
}

uint64_t Subscription::sequence() const { return impl_->sequence; }

}  // namespace dotagent::sdk
