// A stream of a session, for those who speak a protocol: reads and writes with back pressure.
//
// At most one Read and one Write wait at a time (FailedPrecondition for a second). Callbacks run on the loop,
// never from inside the call, each exactly once as long as the loop runs. The last reference resets a
// stream, unless CloseWrite was called: then what was written is still delivered, and what the peer still sends is
// thrown away. Errors: Cancelled (reset here), StatusOfReset (reset by the peer, and why), Unavailable (the session
// died; what had arrived can be read first). Memory: what the session's windows allow.
//
//   auto reader = std::make_shared<MessageReader>(stream, kMaxMessage);
//   reader->Next([](absl::StatusOr<std::string> message) { … });
#ifndef DOTAGENT_COMMON_P2P_STREAM_H_
#define DOTAGENT_COMMON_P2P_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/keys.h"
#include "common/session/reset_code.h"

namespace dotagent::p2p {

namespace reset_code = session::reset_code;
using session::ResetCodeFor;
using session::StatusOfReset;

class Stream {
 public:
  virtual ~Stream() = default;

  [[nodiscard]] virtual const crypto::PublicKey& peer() const = 0;
  [[nodiscard]] virtual const std::string& protocol() const = 0;
  // The session runs through a relay.
  [[nodiscard]] virtual bool relayed() const = 0;

  // Some bytes, 1 to `max`; or an empty string at the end.
  virtual void Read(size_t max, std::function<void(absl::StatusOr<std::string>)> done) = 0;
  // `done` when all of `data` is in the session's bounded buffer.
  virtual void Write(std::string data, std::function<void(absl::Status)> done) = 0;
  // Half close, after what has been written.
  virtual void CloseWrite() = 0;
  // Ends both directions at once; `code` (a reset_code) tells the peer why. No effect on a stream that is over.
  virtual void Reset(uint64_t code) = 0;
};

// Length-prefixed messages (base/varint.h) from a stream, in order. Holds what was read beyond the last one. Make it
// with make_shared; it keeps itself and the stream alive while a Next waits.
class MessageReader : public std::enable_shared_from_this<MessageReader> {
 public:
  // `early`: bytes of the stream that were read already.
  MessageReader(std::shared_ptr<Stream> stream, size_t max_message, std::string early = {})
      : stream_(std::move(stream)), max_message_(max_message), buffer_(std::move(early)) {}

  // The next message. OutOfRange if the stream ended between two messages, DataLoss (PROTOCOL) inside one,
  // InvalidArgument (PROTOCOL) if a length is malformed or over `max_message`; or the stream's own error. One at a
  // time. Calls `done` from inside if the message has been read already; a Next from inside `done` does not nest.
  void Next(std::function<void(absl::StatusOr<std::string> message)> done);

  [[nodiscard]] const std::shared_ptr<Stream>& stream() const { return stream_; }
  // Takes what was read beyond the last message.
  [[nodiscard]] std::string TakeRest() { return std::exchange(buffer_, std::string()); }

 private:
  void Deliver();
  void ReadMore();
  [[nodiscard]] absl::Status EndOfStream() const;

  const std::shared_ptr<Stream> stream_;
  const size_t max_message_;
  std::string buffer_;
  std::function<void(absl::StatusOr<std::string>)> waiting_;
  bool delivering_ = false;
};

// Reads one length-prefixed message of at most `max` bytes; errors as MessageReader::Next. `rest` gets the bytes that
// were read beyond it, which belong to what follows. Keeps `stream` alive until then.
void ReadMessage(std::shared_ptr<Stream> stream, size_t max,
                 std::function<void(absl::StatusOr<std::string> message, std::string rest)> done);
// Keeps `stream` alive until it is written.
void WriteMessage(const std::shared_ptr<Stream>& stream, const std::string& message,
                  std::function<void(absl::Status)> done);

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_STREAM_H_
