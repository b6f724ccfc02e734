#include "common/p2p/stream.h"

#include <optional>

#include "common/base/status.h"
#include "common/base/varint.h"

namespace dotagent::p2p {
namespace {

constexpr size_t kReadSize = 64 * 1024;

}  // namespace

void MessageReader::Next(std::function<void(absl::StatusOr<std::string>)> done) {
  if (waiting_ != nullptr) return done(absl::FailedPreconditionError("a Next is waiting already"));
  waiting_ = std::move(done);
  if (!delivering_) Deliver();
}

// A loop instead of recursion: a peer may send thousands of tiny messages in one piece.
void MessageReader::Deliver() {
  const auto self = shared_from_this();
  delivering_ = true;
  while (waiting_ != nullptr) {
    auto message = TakeLengthPrefixed(&buffer_, max_message_);
    if (message.ok() && !message->has_value()) {
      ReadMore();
      break;
    }
    const auto done = std::exchange(waiting_, nullptr);
    if (message.ok()) {
      done(**std::move(message));
    } else {
      done(message.status());
    }
  }
  delivering_ = false;
}

void MessageReader::ReadMore() {
  stream_->Read(kReadSize, [self = shared_from_this()](absl::StatusOr<std::string> piece) {
    if (piece.ok() && !piece->empty()) {
      self->buffer_ += *piece;
      return self->Deliver();
    }
    const auto done = std::exchange(self->waiting_, nullptr);
    done(piece.ok() ? self->EndOfStream() : piece.status());
  });
}

absl::Status MessageReader::EndOfStream() const {
  if (buffer_.empty()) return absl::OutOfRangeError("the stream has ended");
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kProtocol, "the stream ended inside a message");
}

void ReadMessage(std::shared_ptr<Stream> stream, size_t max,
                 std::function<void(absl::StatusOr<std::string>, std::string)> done) {
  const auto reader = std::make_shared<MessageReader>(std::move(stream), max);
  reader->Next([reader, done = std::move(done)](absl::StatusOr<std::string> message) {
    done(std::move(message), reader->TakeRest());
  });
}

void WriteMessage(const std::shared_ptr<Stream>& stream, const std::string& message,
                  std::function<void(absl::Status)> done) {
  stream->Write(WithLength(message), [stream, done = std::move(done)](const absl::Status& status) { done(status); });
}

}  // namespace dotagent::p2p
