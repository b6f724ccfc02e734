#include "common/p2p/calls.h"

#include <asio/steady_timer.hpp>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/p2p/timer.h"

namespace dotagent::p2p {
namespace {

class UnaryCall : public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(asio::io_context& io, std::string request, size_t max_response, CallCallback done)
      : timer_(io), request_(std::move(request)), max_response_(max_response), done_(std::move(done)) {}

  void Start(const std::function<void(StreamCallback)>& open, absl::Duration timeout) {
    timer_.expires_after(TimerDelay(timeout));
    timer_.async_wait([self = shared_from_this(), timeout](const std::error_code& error) {
      if (error || self->done_ == nullptr) return;
      if (self->stream_ != nullptr) self->stream_->Reset(reset_code::kTimeout);
      self->Finish(absl::DeadlineExceededError(absl::StrCat("no answer within ", absl::FormatDuration(timeout))));
    });
    open([self = shared_from_this()](absl::StatusOr<std::shared_ptr<Stream>> stream) {
      if (self->done_ == nullptr) return;
      if (!stream.ok()) return self->Finish(stream.status());
      self->Send(*std::move(stream));
    });
  }

 private:
  void Send(std::shared_ptr<Stream> stream) {
    stream_ = std::move(stream);
    WriteMessage(stream_, std::exchange(request_, std::string()), [](const absl::Status&) {});  // the read tells
    stream_->CloseWrite();
    ReadMessage(stream_, max_response_,
                [self = shared_from_this()](absl::StatusOr<std::string> message, const std::string&) {
                  if (self->done_ != nullptr) self->Finish(std::move(message));
                });
  }

  void Finish(absl::StatusOr<std::string> result) {
    timer_.cancel();
    stream_ = nullptr;
    if (result.status().code() == absl::StatusCode::kOutOfRange) {
      result = absl::UnavailableError("the peer ended the call without an answer");
    }
    std::exchange(done_, nullptr)(std::move(result));
  }

  asio::steady_timer timer_;
  std::string request_;
  const size_t max_response_;
  CallCallback done_;
  std::shared_ptr<Stream> stream_;
};

}  // namespace

StreamHandler AnswerCalls(size_t max_request, CallHandler handler) {
  return [max_request, handler = std::move(handler)](const std::shared_ptr<Stream>& stream) {
    ReadMessage(stream, max_request, [stream, handler](absl::StatusOr<std::string> request, const std::string& rest) {
      if (!request.ok() || !rest.empty()) return stream->Reset(reset_code::kBadMessage);
      handler(stream->peer(), *std::move(request), [stream](const std::string& response) {
        WriteMessage(stream, response, [](const absl::Status&) {});
        stream->CloseWrite();
      });
    });
  };
}

void MakeCall(asio::io_context& io, const std::function<void(StreamCallback)>& open, std::string request,
              size_t max_response, absl::Duration timeout, CallCallback done) {
  const auto call = std::make_shared<UnaryCall>(io, std::move(request), max_response, std::move(done));
  call->Start(open, timeout);
}

}  // namespace dotagent::p2p
