#include "services/gateway/asks.h"

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/refusal.h"
#include "services/gateway/call_seconds.h"

namespace dotagent::gateway_service {
namespace {

namespace v1 = ::dotagent::gateway::v1;

v1::AskResponse Refused(uint64_t number, const absl::Status& why) {
  v1::AskResponse response;
  response.set_number(number);
  rpc::WriteRefusal(why, response.mutable_refused());
  return response;
}

}  // namespace

// One call. Lives while it has to read, to write, or to wait for an outcome.
class Asks::Conversation : public std::enable_shared_from_this<Conversation> {
 public:
  Conversation(Asks& asks, const crypto::PublicKey& key, Places::Place place, std::string token,
               std::shared_ptr<AskStream> stream)
      : asks_(asks), key_(key), place_(std::move(place)), token_(std::move(token)), stream_(std::move(stream)) {}

  [[nodiscard]] const crypto::PublicKey& key() const { return key_; }

  void Start() {
    stream_->OnCancelled([self = shared_from_this()] { self->Leave(absl::CancelledError("the client has gone")); });
    ReadOn();
  }

  void Drain(const absl::Status& why) {
    end_ = why;
    EndIfDone();
  }

  void Leave(const absl::Status& why) {
    if (std::exchange(left_, true)) return;
    place_ = nullptr;
    stream_->Finish(why);
    asks_.open_.erase(shared_from_this());
  }

 private:
  void ReadOn() {
    if (reading_ || end_ || waiting_bytes_ >= kMaxAskingBytes || waiting_.size() + unread_.size() >= kMaxAsking) return;
    reading_ = true;
    stream_->Read([self = shared_from_this()](std::optional<v1::AskRequest> ask) {
      self->reading_ = false;
      if (!ask) {
        if (!self->end_) self->end_ = absl::OkStatus();
        return self->EndIfDone();
      }
      // Read already when the gateway began to drain: it is another one's to ask.
      if (self->end_) return self->Say(Refused(ask->number(), *self->end_));
      self->Take(*std::move(ask));
      self->ReadOn();
    });
  }

  void Take(v1::AskRequest ask) {
    const uint64_t number = ask.number();
    const auto [place, is_new] = waiting_.try_emplace(number);
    if (!is_new) {
      return Say(Refused(number, ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                                                 absl::StrCat("number ", number, " still waits for its outcome; ",
                                                              "give the next one another number"))));
    }
    // On the heap: what is handed on refers to it until its outcome is known.
    waiting_bytes_ += ask.ByteSizeLong();
    place->second = std::make_unique<v1::AskRequest>(std::move(ask));
    const v1::AskRequest& held = *place->second;
    switch (held.what_case()) {
      case v1::AskRequest::kRequest:
        return asks_.handlers_.request(
            token_, held.request(), DeadlineOf(held),
            WhenDone<v1::RequestResponse>(number, asks_.request_seconds_, [](auto answered, auto& response) {
              *response.mutable_answered() = std::move(answered);
            }));
      case v1::AskRequest::kSend:
        return asks_.handlers_.send(
            token_, held.send(), WhenDone<v1::SendResponse>(number, asks_.send_seconds_, [](auto sent, auto& response) {
              *response.mutable_sent() = sent;
            }));
      case v1::AskRequest::WHAT_NOT_SET:
        break;
    }
    Forget(number);
    Say(Refused(number, ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                                        "it asks for nothing that this release knows; give a request or a send")));
  }

  [[nodiscard]] absl::Time DeadlineOf(const v1::AskRequest& ask) const {
    return ask.timeout_ms() == 0 ? absl::InfiniteFuture() : asks_.clock_.Now() + absl::Milliseconds(ask.timeout_ms());
  }

  // What a handler calls when it is done; `put` puts its outcome into a response.
  template <typename Outcome, typename Put>
  [[nodiscard]] rpc::Done<Outcome> WhenDone(uint64_t number, telemetry::Histogram& seconds, Put put) {
    return [self = this->shared_from_this(), number, put, &seconds,
            began = asks_.clock_.Elapsed()](absl::StatusOr<Outcome> outcome) {
      if (self->left_) return;
      seconds.Observe(absl::ToDoubleSeconds(self->asks_.clock_.Elapsed() - began));
      self->Forget(number);
      if (!outcome.ok()) return self->Say(Refused(number, outcome.status()));
      v1::AskResponse response;
      response.set_number(number);
      put(*std::move(outcome), response);
      self->SayIfRead(std::move(response));
    };
  }

  void Forget(uint64_t number) {
    const auto waiting = waiting_.find(number);
    waiting_bytes_ -= waiting->second->ByteSizeLong();
    waiting_.erase(waiting);
  }

  void SayIfRead(v1::AskResponse response) {
    if (unread_bytes_ + response.ByteSizeLong() > kMaxUnreadAnswerBytes) {
      response = Refused(response.number(), ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                                                            "an answer came, but those before it have not been read"));
    }
    Say(std::move(response));
  }

  void Say(v1::AskResponse response) {
    unread_bytes_ += response.ByteSizeLong();
    unread_.push_back(std::move(response));
    WriteOn();
  }

  void WriteOn() {
    if (writing_ || unread_.empty() || left_) return;
    writing_ = true;
    v1::AskResponse next = std::move(unread_.front());
    unread_.pop_front();
    unread_bytes_ -= next.ByteSizeLong();
    stream_->Write(std::move(next), [self = shared_from_this()](bool ok) {
      self->writing_ = false;
      if (!ok) return self->Leave(absl::CancelledError("the client has gone"));
      self->WriteOn();
      self->ReadOn();
      self->EndIfDone();
    });
  }

  void EndIfDone() {
    if (end_ && waiting_.empty() && unread_.empty() && !writing_) Leave(*end_);
  }

  Asks& asks_;
  const crypto::PublicKey key_;
  Places::Place place_;
  const std::string token_;
  const std::shared_ptr<AskStream> stream_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<const v1::AskRequest>> waiting_;  // for their outcomes
  size_t waiting_bytes_ = 0;
  std::deque<v1::AskResponse> unread_;
  size_t unread_bytes_ = 0;
  bool reading_ = false;
  bool writing_ = false;
  std::optional<absl::Status> end_;  // with which it ends when all is done; nothing more is read
  bool left_ = false;
};

Asks::Asks(Handlers handlers, const Clock& clock, telemetry::Metrics& metrics)
    : handlers_(std::move(handlers)),
      clock_(clock),
      request_seconds_(CallSeconds(metrics, "Request")),
      send_seconds_(CallSeconds(metrics, "Send")) {}

Asks::~Asks() = default;

void Asks::Serve(const std::shared_ptr<Agent>& agent, std::string token, std::shared_ptr<AskStream> stream) {
  if (!drained_.ok()) return stream->Finish(drained_);
  Places::Place place = calls_of_.Take(agent->key.bytes());
  if (place == nullptr) {
    return stream->Finish(ErrorWithReason(
        absl::StatusCode::kResourceExhausted, reason::kLimit,
        absl::StrCat("this agent has ", kMaxAskCallsPerAgent, " Ask calls open already; use one of them")));
  }
  const auto conversation =
      std::make_shared<Conversation>(*this, agent->key, std::move(place), std::move(token), std::move(stream));
  open_.insert(conversation);
  conversation->Start();
}

void Asks::End(const crypto::PublicKey& key, const absl::Status& why) {
  std::vector<std::shared_ptr<Conversation>> ending;
  for (const auto& conversation : open_) {
    if (conversation->key() == key) ending.push_back(conversation);
  }
  for (const auto& conversation : ending) conversation->Leave(why);
}

void Asks::Drain(const absl::Status& why) {
  drained_ = why;
  const std::vector<std::shared_ptr<Conversation>> open(open_.begin(), open_.end());
  for (const auto& conversation : open) conversation->Drain(why);
}

}  // namespace dotagent::gateway_service
