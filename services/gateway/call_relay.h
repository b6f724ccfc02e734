// An agent's call that is served by another gateway of the cluster than the agent is connected to: its Inbox, whose
// home is elsewhere, and the channels that it takes there.
//
//   agent ── gRPC ── CallRelay ── pipe ── RelayedCall ── Listeners, Channels
//        the agent's gateway              the inbox's home
//
// Requests and responses pass as they are, one in flight a direction, so that a slow agent slows its home and nothing
// piles up in between. What the agent's gateway has authenticated, the home takes its word for: they are one cluster
// (cluster_link.h).
#ifndef DOTAGENT_SERVICES_GATEWAY_CALL_RELAY_H_
#define DOTAGENT_SERVICES_GATEWAY_CALL_RELAY_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/rpc/refusal.h"
#include "dotagent/cluster/v1/cluster.pb.h"
#include "services/gateway/bidi_stream.h"
#include "services/gateway/pipe.h"
#include "services/gateway/topic_links.h"

namespace dotagent::gateway_service {

// A message with its attachment, and what is around it.
inline constexpr size_t kMaxRelayed = size_t{3} << 19;

// The home's end: a call like any other.
template <typename Request, typename Response>
class RelayedCall : public BidiStream<Request, Response>,
                    public std::enable_shared_from_this<RelayedCall<Request, Response>> {
 public:
  explicit RelayedCall(std::shared_ptr<Pipe> pipe)
      : pipe_(std::move(pipe)), messages_(std::make_shared<TopicPipe>(pipe_, kMaxRelayed)) {}

  // May call `done` from inside with what has come already; a Read from inside `done` does not nest.
  void Read(std::function<void(std::optional<Request>)> done) override {
    messages_->Read(
        [self = this->shared_from_this(), done = std::move(done)](const absl::StatusOr<std::string>& bytes) {
          cluster::v1::RelayUp up;
          Request request;
          if (bytes.ok() && up.ParseFromString(*bytes) && request.ParseFromString(up.request())) return done(request);
          const auto gone = std::exchange(self->gone_, nullptr);
          done(std::nullopt);
          if (gone && !absl::IsOutOfRange(bytes.status())) gone();
        });
  }
  void Write(Response response, std::function<void(bool)> done) override {
    cluster::v1::RelayDown down;
    down.set_response(response.SerializeAsString());
    writing_ = true;
    pipe_->Write(WithLength(down.SerializeAsString()),
                 [self = this->shared_from_this(), done = std::move(done)](const absl::Status& written) {
                   self->writing_ = false;
                   if (self->last_word_) self->SayLast();
                   done(written.ok());
                 });
  }
  void Finish(absl::Status status) override {
    if (last_word_) return;
    last_word_ = std::move(status);
    gone_ = nullptr;
    if (!writing_) SayLast();
  }
  void OnCancelled(std::function<void()> gone) override { gone_ = std::move(gone); }

 private:
  void SayLast() {
    cluster::v1::RelayDown down;
    cluster::v1::RelayEnd& end = *down.mutable_end();
    if (!last_word_->ok()) rpc::WriteRefusal(*last_word_, &end);
    pipe_->Write(WithLength(down.SerializeAsString()),
                 [self = this->shared_from_this()](const absl::Status&) { self->pipe_->CloseWrite(); });
  }

  const std::shared_ptr<Pipe> pipe_;
  const std::shared_ptr<TopicPipe> messages_;
  std::function<void()> gone_;
  std::optional<absl::Status> last_word_;
  bool writing_ = false;
};

// The agent's gateway's end: copies between the agent's call and the home, until one of them ends.
template <typename Request, typename Response>
class CallRelay : public std::enable_shared_from_this<CallRelay<Request, Response>> {
 public:
  using Call = BidiStream<Request, Response>;
  // `seen` sees what comes for the agent. `over` is called once, at the end.
  CallRelay(std::shared_ptr<Call> agent, std::function<void(const Response&)> seen, std::function<void()> over)
      : agent_(std::move(agent)), seen_(std::move(seen)), over_(std::move(over)) {}

  // Before the home is reached.
  void Start() {
    agent_->OnCancelled([weak = this->weak_from_this()] {
      if (const auto self = weak.lock()) self->End(absl::CancelledError("the agent cancelled its call"));
    });
  }
  // `first`: the agent's, which was read to see where the home is.
  void Open(absl::StatusOr<std::shared_ptr<Pipe>> home, const Request& first) {
    if (!home.ok()) return End(ForAgents(home.status(), "your home gateway is not reached"));
    if (ended_) return (*home)->Abort(absl::CancelledError("the agent's call has ended"));
    home_ = *std::move(home);
    messages_ = std::make_shared<TopicPipe>(home_, kMaxRelayed);
    Up(first);
    Down();
  }
  void End(const absl::Status& why) {
    if (std::exchange(ended_, true)) return;
    agent_->Finish(why);
    if (home_) home_->Abort(why.ok() ? absl::CancelledError("the call has ended") : why);
    const auto over = std::exchange(over_, nullptr);
    if (over) over();
  }

 private:
  void Up(const Request& request) {
    cluster::v1::RelayUp up;
    up.set_request(request.SerializeAsString());
    if (up.request().size() > kMaxRelayed - 16) {
      return End(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge, "what you say is too large"));
    }
    home_->Write(WithLength(up.SerializeAsString()), [self = this->shared_from_this()](const absl::Status& written) {
      if (self->ended_ || !written.ok()) return;  // Down hears of it too, and why
      self->agent_->Read([self](const std::optional<Request>& next) {
        if (self->ended_) return;
        if (next) return self->Up(*next);
        self->home_->CloseWrite();  // the home has the last word
      });
    });
  }
  void Down() {
    messages_->Read([self = this->shared_from_this()](const absl::StatusOr<std::string>& bytes) {
      if (self->ended_) return;
      if (!bytes.ok()) return self->End(ForAgents(bytes.status(), "your home gateway is gone; call again"));
      cluster::v1::RelayDown down;
      Response response;
      if (!down.ParseFromString(*bytes) || (down.has_response() && !response.ParseFromString(down.response()))) {
        return self->End(
            ErrorWithReason(absl::StatusCode::kInternal, reason::kProtocol, "your home gateway's answer is malformed"));
      }
      if (down.has_end()) return self->OnEnd(down.end());
      self->seen_(response);
      self->agent_->Write(std::move(response), [self](bool ok) {
        if (self->ended_) return;
        ok ? self->Down() : self->End(absl::CancelledError("the agent's call broke off"));
      });
    });
  }
  void OnEnd(const cluster::v1::RelayEnd& end) { End(end.code() == 0 ? absl::OkStatus() : rpc::ReadRefusal(end)); }

  const std::shared_ptr<Call> agent_;
  const std::function<void(const Response&)> seen_;
  std::function<void()> over_;
  std::shared_ptr<Pipe> home_;
  std::shared_ptr<TopicPipe> messages_;
  bool ended_ = false;
};

// A call of which the first request has been read already: whoever gets it reads that first, from inside Read.
template <typename Request, typename Response>
class BegunCall : public BidiStream<Request, Response> {
 public:
  BegunCall(std::shared_ptr<BidiStream<Request, Response>> call, Request first)
      : call_(std::move(call)), first_(std::move(first)) {}
  void Read(std::function<void(std::optional<Request>)> done) override {
    if (!first_) return call_->Read(std::move(done));
    done(*std::exchange(first_, std::nullopt));
  }
  void Write(Response response, std::function<void(bool)> done) override {
    call_->Write(std::move(response), std::move(done));
  }
  void Finish(absl::Status status) override { call_->Finish(std::move(status)); }
  void OnCancelled(std::function<void()> gone) override { call_->OnCancelled(std::move(gone)); }

 private:
  const std::shared_ptr<BidiStream<Request, Response>> call_;
  std::optional<Request> first_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_CALL_RELAY_H_
