#include "tests/bench/live_agent.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/record/record.h"
#include "common/rpc/status.h"

namespace dotagent::bench {
namespace {

namespace v1 = ::dotagent::gateway::v1;

// A call that sends one request and then only listens, until its end. Lives until then by itself.
template <typename Request, typename Response>
class Listening : public grpc::ClientBidiReactor<Request, Response> {
 public:
  using OnEvent = std::function<void(const Response&)>;
  using OnEnd = std::function<void(const absl::Status&)>;

  // `open(context, reactor)` starts the stub's method.
  template <typename Open>
  static void Start(const std::string& token, Request first, Open open, OnEvent on_event, OnEnd on_end) {
    auto* const call = new Listening(std::move(first), std::move(on_event), std::move(on_end));  // deleted in OnDone
    call->context_.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    open(&call->context_, call);
    call->StartWrite(&call->first_);
    call->StartRead(&call->response_);
    call->StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    on_event_(response_);
    this->StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    on_end_(rpc::FromGrpc(status));
    delete this;
  }

 private:
  Listening(Request first, OnEvent on_event, OnEnd on_end)
      : first_(std::move(first)), on_event_(std::move(on_event)), on_end_(std::move(on_end)) {}

  grpc::ClientContext context_;
  const Request first_;
  Response response_;
  const OnEvent on_event_;
  const OnEnd on_end_;
};

using InboxCall = Listening<v1::InboxRequest, v1::InboxResponse>;
using ChannelCall = Listening<v1::OpenChannelRequest, v1::OpenChannelResponse>;

constexpr auto kCallTime = std::chrono::seconds(60);

}  // namespace

void LiveAgent::Authenticate(GatewayLink& link, Done done) {
  link.Authenticate(*key_, [this, &link, done = std::move(done)](absl::StatusOr<std::string> token) {
    if (token.ok()) homes_.push_back({&link, *std::move(token)});
    done(token.ok());
  });
}

void LiveAgent::Register(const std::vector<std::string>& addresses, Done done) {
  struct Unary {
    grpc::ClientContext context;
    v1::RegisterRequest request;
    v1::RegisterResponse response;
  };
  const auto call = std::make_shared<Unary>();
  call->context.set_deadline(std::chrono::system_clock::now() + kCallTime);
  call->context.AddMetadata("authorization", absl::StrCat("Bearer ", homes_[0].token));
  const auto record =
      record::Record::Sign({.name = name_, .addresses = addresses, .protocols = {}, .timestamp = absl::Now()}, *key_);
  if (!record.ok()) return done(false);
  call->request.set_record_json(record->json());
  homes_[0].link->stub().async()->Register(
      &call->context, &call->request, &call->response,
      [call, done = std::move(done)](const grpc::Status& status) { done(status.ok()); });
}

void LiveAgent::OpenInbox(size_t link, Done done) {
  v1::InboxRequest first;
  first.mutable_open()->set_name(name_);
  first.mutable_open()->set_accept_channels(link == 0);
  const auto told = std::make_shared<Done>(std::move(done));  // empty once told
  {
    const absl::MutexLock lock(&mutex_);
    ++open_;
  }
  InboxCall::Start(
      homes_[link].token, std::move(first),
      [this, link](auto* context, auto* call) { homes_[link].link->stub().async()->Inbox(context, call); },
      [this, told](const v1::InboxResponse& event) {
        if (event.has_ready() && *told) std::exchange(*told, nullptr)(true);
        if (event.has_offer()) OnOffer(event.offer());
      },
      [this, told](const absl::Status& why) {
        if (*told) std::exchange(*told, nullptr)(false);
        OnEnd(why);
      });
}

void LiveAgent::Call(LiveAgent& other, Done done) {
  other_ = &other;
  other.other_ = this;
  // Both ends have to say that they are open, or one that it is not.
  struct Ends {
    std::atomic<int> open = 0;
    std::atomic<bool> told = false;
    Done done;
    void Tell(bool ok) {
      if ((!ok || ++open == 2) && !told.exchange(true)) done(ok);
    }
  };
  const auto ends = std::make_shared<Ends>();
  ends->done = std::move(done);
  other.on_open_ = [ends](bool ok) { ends->Tell(ok); };
  for (LiveAgent* agent : {this, &other}) {
    const absl::MutexLock lock(&agent->mutex_);
    agent->open_ += 2;  // a channel that ends with one of them ends for both
  }
  v1::OpenChannelRequest first;
  first.mutable_call()->set_recipient(other.name());
  first.mutable_call()->set_caller(name_);
  ChannelCall::Start(
      homes_[0].token, std::move(first),
      [this](auto* context, auto* call) { homes_[0].link->stub().async()->OpenChannel(context, call); },
      [ends](const v1::OpenChannelResponse& event) {
        if (event.has_opened()) ends->Tell(true);
      },
      [this, ends, other = &other](const absl::Status& why) {
        ends->Tell(false);
        other->OnEnd(why);
        OnEnd(why);
      });
}

void LiveAgent::OnOffer(const v1::ChannelOffer& offer) {
  v1::OpenChannelRequest first;
  first.mutable_accept()->set_channel_id(offer.channel_id());
  ChannelCall::Start(
      homes_[0].token, std::move(first),
      [this](auto* context, auto* call) { homes_[0].link->stub().async()->OpenChannel(context, call); },
      [tell = on_open_](const v1::OpenChannelResponse& event) {
        if (event.has_opened()) tell(true);
      },
      [this, tell = on_open_, other = other_](const absl::Status& why) {
        tell(false);
        other->OnEnd(why);
        OnEnd(why);
      });
}

LiveAgent::~LiveAgent() {
  // What still runs knows this object, until its gateway or its link has gone.
  const absl::MutexLock lock(&mutex_);
  const auto over = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return open_ == 0; };
  mutex_.Await(absl::Condition(&over));
}

void LiveAgent::OnEnd(const absl::Status& why) {
  const absl::Time now = absl::Now();
  const absl::MutexLock lock(&mutex_);
  --open_;
  last_end_ = now;
  if (ReasonOf(why) != reason::kKeyRevoked) other_end_ = why;
}

absl::StatusOr<absl::Time> LiveAgent::AwaitRevoked(absl::Duration patience) {
  const absl::MutexLock lock(&mutex_);
  const auto over = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return open_ == 0; };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&over), patience)) {
    return absl::DeadlineExceededError(absl::StrCat(open_, " sessions of ", name_, " live on after its revocation"));
  }
  if (!other_end_.ok()) {
    return absl::InternalError(absl::StrCat("a session of ", name_, " ended otherwise: ", other_end_.ToString()));
  }
  return last_end_;
}

}  // namespace dotagent::bench
