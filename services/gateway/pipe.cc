#include "services/gateway/pipe.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::gateway_service {
namespace {

using gateway::v1::OpenChannelRequest;
using gateway::v1::OpenChannelResponse;

class AgentPipe : public Pipe, public std::enable_shared_from_this<AgentPipe> {
 public:
  explicit AgentPipe(std::shared_ptr<ChannelStream> stream) : stream_(std::move(stream)) {}

  void Read(std::function<void(absl::StatusOr<std::string>)> done) override {
    stream_->Read([self = shared_from_this(), done = std::move(done)](std::optional<OpenChannelRequest> request) {
      if (!request) return done(std::string());
      if (!request->has_data()) {
        return done(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                                    "after the first request of a channel come only `data`"));
      }
      if (request->data().size() > kMaxChunk) {
        return done(ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                                    absl::StrCat("a channel takes at most ", kMaxChunk, " bytes at a time, not ",
                                                 request->data().size(), "; split them")));
      }
      if (request->data().empty()) return self->Read(done);
      done(std::move(*request->mutable_data()));
    });
  }

  void Write(std::string bytes, std::function<void(absl::Status)> done) override {
    OpenChannelResponse response;
    response.set_data(std::move(bytes));
    stream_->Write(std::move(response), [done = std::move(done)](bool ok) {
      done(ok ? absl::OkStatus() : absl::CancelledError("the agent's call has ended"));
    });
  }

  void CloseWrite() override { stream_->Finish(absl::OkStatus()); }
  void Abort(const absl::Status& why) override { stream_->Finish(why); }

 private:
  const std::shared_ptr<ChannelStream> stream_;
};

class TrunkPipe : public Pipe {
 public:
  TrunkPipe(std::shared_ptr<p2p::Stream> stream, std::string early)
      : stream_(std::move(stream)), early_(std::move(early)) {}

  void Read(std::function<void(absl::StatusOr<std::string>)> done) override {
    if (early_.empty()) return stream_->Read(kMaxChunk, std::move(done));
    std::string chunk = early_.substr(0, kMaxChunk);
    early_.erase(0, chunk.size());
    done(std::move(chunk));
  }
  void Write(std::string bytes, std::function<void(absl::Status)> done) override {
    stream_->Write(std::move(bytes), std::move(done));
  }
  void CloseWrite() override { stream_->CloseWrite(); }
  void Abort(const absl::Status& why) override { stream_->Reset(p2p::ResetCodeFor(why)); }

 private:
  const std::shared_ptr<p2p::Stream> stream_;
  std::string early_;
};

}  // namespace

absl::Status ForAgents(const absl::Status& broken, absl::string_view what) {
  const std::string cause = ReasonOf(broken);
  const bool refused = absl::IsPermissionDenied(broken);  // for a reason that streams have no code for
  if (refused || (!cause.empty() && cause != reason::kUnreachable)) return WithContext(broken, what);
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                         absl::StrCat(what, "; open it again: ", broken.message()));
}

std::shared_ptr<Pipe> NewAgentPipe(std::shared_ptr<ChannelStream> stream) {
  return std::make_shared<AgentPipe>(std::move(stream));
}

std::shared_ptr<Pipe> NewTrunkPipe(std::shared_ptr<p2p::Stream> stream, std::string early) {
  return std::make_shared<TrunkPipe>(std::move(stream), std::move(early));
}

}  // namespace dotagent::gateway_service
