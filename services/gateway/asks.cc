#include "services/gateway/asks.h"

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/retry_after.h"
#include "common/base/status.h"
#include "services/gateway/call_seconds.h"

namespace dotagent::gateway_service {
namespace {

namespace v1 = ::dotagent::gateway::v1;

v1::AskResponse Refused(uint64_t number, const absl::Status& why) {
  v1::AskResponse response;
  response.set_number(number);
  v1::RefusedRequest& refused = *response.mutable_refused();
  refused.set_code(static_cast<int32_t>(why.code()));
  refused.set_message(std::string(why.message()));
  refused.set_reason(std::string(ReasonOf(why)));
  if (const auto after = RetryAfterOf(why)) {
    refused.set_retry_after_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(*after)));
  }
  return response;
}

}  // namespace

// One call. Lives while it has to read, to write, or to wait for an answer.
class Asks::Conversation : public std::enable_shared_from_this<Conversation> {
 public:
  Conversation(Asks& asks, std::string key, std::string token, std::shared_ptr<AskStream> stream)
      : asks_(asks), key_(std::move(key)), token_(std::move(token)), stream_(std::move(stream)) {}

  [[nodiscard]] const std::string& key() const { return key_; }

  void Start() {
    stream_->OnCancelled([self = shared_from_this()] { self->Leave(absl::CancelledError("the client has gone")); });
    ReadOn();
  }

  void Drain(const absl::Status& why) {
    end_ = why;
    EndIfDone();
  }

 private:
  void ReadOn() {
    if (reading_ || end_ || waiting_.size() + unread_.size() >= kMaxAsking) return;
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
    // On the heap: what is asked refers to it until it is answered.
    const auto [place, is_new] = waiting_.try_emplace(number);
    if (!is_new) {
      return Say(Refused(number, ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                                                 absl::StrCat("request ", number, " still waits for its answer; ",
                                                              "give the next one another number"))));
    }
    place->second = std::make_unique<v1::RequestRequest>(std::move(*ask.mutable_request()));
    const v1::RequestRequest& request = *place->second;
    const absl::Time deadline =
        ask.timeout_ms() == 0 ? absl::InfiniteFuture() : asks_.clock_.Now() + absl::Milliseconds(ask.timeout_ms());
    asks_.request_(token_, request, deadline,
                   [self = shared_from_this(), number,
                    began = asks_.clock_.Elapsed()](absl::StatusOr<v1::RequestResponse> answered) {
                     if (self->left_) return;
                     self->asks_.seconds_.Observe(absl::ToDoubleSeconds(self->asks_.clock_.Elapsed() - began));
                     self->OnAnswer(number, std::move(answered));
                   });
  }

  void OnAnswer(uint64_t number, absl::StatusOr<v1::RequestResponse> answered) {
    waiting_.erase(number);
    if (!answered.ok()) return Say(Refused(number, answered.status()));
    v1::AskResponse response;
    response.set_number(number);
    *response.mutable_answered() = *std::move(answered);
    if (unread_bytes_ + response.ByteSizeLong() > kMaxUnreadAnswerBytes) {
      response = Refused(number, ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
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
  void Leave(const absl::Status& why) {
    if (std::exchange(left_, true)) return;
    stream_->Finish(why);
    asks_.Forget(shared_from_this());
  }

  Asks& asks_;
  const std::string key_;
  const std::string token_;
  const std::shared_ptr<AskStream> stream_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<v1::RequestRequest>> waiting_;  // for their answers
  std::deque<v1::AskResponse> unread_;
  size_t unread_bytes_ = 0;
  bool reading_ = false;
  bool writing_ = false;
  std::optional<absl::Status> end_;  // with which it ends when everything is answered; nothing more is read
  bool left_ = false;
};

Asks::Asks(Request request, const Clock& clock, telemetry::Metrics& metrics)
    : request_(std::move(request)), clock_(clock), seconds_(CallSeconds(metrics, "Ask")) {}

Asks::~Asks() = default;

void Asks::Serve(const std::shared_ptr<Agent>& agent, std::string token, std::shared_ptr<AskStream> stream) {
  if (!drained_.ok()) return stream->Finish(drained_);
  std::string key(agent->key.bytes());
  size_t& calls = calls_of_[key];
  if (calls >= kMaxAskCallsPerAgent) {
    return stream->Finish(
        ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                        absl::StrCat("this agent has ", calls, " Ask calls open already; use one of them")));
  }
  ++calls;
  const auto conversation = std::make_shared<Conversation>(*this, std::move(key), std::move(token), std::move(stream));
  open_.insert(conversation);
  conversation->Start();
}

void Asks::Forget(const std::shared_ptr<Conversation>& conversation) {
  if (open_.erase(conversation) == 0) return;
  const auto calls = calls_of_.find(conversation->key());
  if (--calls->second == 0) calls_of_.erase(calls);
}

void Asks::Drain(const absl::Status& why) {
  drained_ = why;
  const std::vector<std::shared_ptr<Conversation>> open(open_.begin(), open_.end());
  for (const auto& conversation : open) conversation->Drain(why);
}

}  // namespace dotagent::gateway_service
