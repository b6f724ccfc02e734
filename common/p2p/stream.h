// A stream of a session, for those who speak a protocol: reads and writes with back pressure.
//
// At most one Read and one Write wait at a time. Callbacks run on the loop's thread, never from inside the call. The
// last reference resets a stream that has not ended in both directions. Errors: Cancelled (reset here), Aborted (reset
// by the peer), Unavailable (the session died).
#ifndef DOTAGENT_COMMON_P2P_STREAM_H_
#define DOTAGENT_COMMON_P2P_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/keys.h"

namespace dotagent::p2p {

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
  virtual void Reset(uint64_t code) = 0;
};

// Reads one length-prefixed message of at most `max` bytes. `rest` gets the bytes that were read beyond it, which
// belong to what follows. Keeps `stream` alive until then.
void ReadMessage(std::shared_ptr<Stream> stream, size_t max,
                 std::function<void(absl::StatusOr<std::string> message, std::string rest)> done);
void WriteMessage(const std::shared_ptr<Stream>& stream, const std::string& message,
                  std::function<void(absl::Status)> done);

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_STREAM_H_
