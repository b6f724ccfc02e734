// One end of a channel's bytes: an agent's OpenChannel call, or a stream to another gateway. Channels join two of them.
#ifndef DOTAGENT_SERVICES_GATEWAY_PIPE_H_
#define DOTAGENT_SERVICES_GATEWAY_PIPE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/p2p/stream.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/bidi_stream.h"

namespace dotagent::gateway_service {

// What agents may send at a time, and what a channel holds of each direction: 16 of their sessions' messages, so that
// what a passing from thread to thread costs is shared.
inline constexpr size_t kMaxChunk = 256 * 1024;

// On the loop. At most one Read and one Write wait at a time; callbacks never run from inside the call, except
// for bytes that are there already.
class Pipe {
 public:
  virtual ~Pipe() = default;
  // 1 to kMaxChunk bytes; empty at the end.
  virtual void Read(std::function<void(absl::StatusOr<std::string>)> done) = 0;
  virtual void Write(std::string bytes, std::function<void(absl::Status)> done) = 0;
  // Nothing more will be written.
  virtual void CloseWrite() = 0;
  // Ends both directions at once and says why, as far as the other side can be told. Idempotent.
  virtual void Abort(const absl::Status& why) = 0;
};

// What agents hear of a pipe that broke: `what`, and the cause. A cause with a reason (their key was revoked, a limit,
// a broken rule) stays as it is, and so does a refusal; all others are about streams, which agents know nothing of, and
// become Unavailable (UNREACHABLE).
[[nodiscard]] absl::Status ForAgents(const absl::Status& broken, absl::string_view what);

using ChannelStream = BidiStream<gateway::v1::OpenChannelRequest, gateway::v1::OpenChannelResponse>;

// An agent's end. gRPC has no half close from server to client: CloseWrite finishes the call with OK, and so ends the
// other direction too.
[[nodiscard]] std::shared_ptr<Pipe> NewAgentPipe(std::shared_ptr<ChannelStream> stream);

// Another gateway's end. `early`: bytes of the channel that were read before. Abort resets the stream with the code for
// its cause; a reset by the other gateway comes out of Read and Write as p2p::StatusOfReset says.
[[nodiscard]] std::shared_ptr<Pipe> NewTrunkPipe(std::shared_ptr<p2p::Stream> stream, std::string early);

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_PIPE_H_
