// Requests and messages over one call (Ask): each is handed on like one that is a call of its own, and what became of
// it is told under its number.
//
// Defends against clients that ask without end or do not read: so many of a call wait for their outcomes, or so many
// bytes, the next ones are not read before one has left; answers that are not read are kept up to a size, and refused
// above it; an agent has so many such calls.
#ifndef DOTAGENT_SERVICES_GATEWAY_ASKS_H_
#define DOTAGENT_SERVICES_GATEWAY_ASKS_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/crypto/keys.h"
#include "common/rpc/call.h"
#include "common/telemetry/metrics.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "services/gateway/bidi_stream.h"
#include "services/gateway/places.h"
#include "services/gateway/token_table.h"

namespace dotagent::gateway_service {

using AskStream = BidiStream<gateway::v1::AskRequest, gateway::v1::AskResponse>;

inline constexpr size_t kMaxAsking = 256;                         // of one call that wait for their outcomes
inline constexpr size_t kMaxAskingBytes = size_t{4} << 20;        // of those; the last may be over it
inline constexpr size_t kMaxUnreadAnswerBytes = size_t{8} << 20;  // of one call
inline constexpr size_t kMaxAskCallsPerAgent = 16;

// On the loop.
class Asks {
 public:
  // Gateway::Request and Send. What is handed on lives until `done` is called, once, maybe from inside.
  struct Handlers {
    std::function<void(absl::string_view token, const gateway::v1::RequestRequest& request, absl::Time deadline,
                       rpc::Done<gateway::v1::RequestResponse> done)>
        request;
    std::function<void(absl::string_view token, const gateway::v1::SendRequest& request,
                       rpc::Done<gateway::v1::SendResponse> done)>
        send;
  };

  Asks(Handlers handlers, const Clock& clock, telemetry::Metrics& metrics);
  ~Asks();

  // Serves a call of `agent` until its end, with the token that it began with: when that has lapsed, whatever is asked
  // from then on is refused. ResourceExhausted (LIMIT) if the agent has kMaxAskCallsPerAgent already.
  void Serve(const std::shared_ptr<Agent>& agent, std::string token, std::shared_ptr<AskStream> stream);

  // Ends the calls that `key` has open, at once: what they still wait for comes to nobody.
  void End(const crypto::PublicKey& key, const absl::Status& why);
  // Reads nothing more; each call ends with `why` when what it asked has been answered. New ones are refused.
  void Drain(const absl::Status& why);

 private:
  class Conversation;

  const Handlers handlers_;
  const Clock& clock_;
  telemetry::Histogram& request_seconds_;
  telemetry::Histogram& send_seconds_;
  absl::flat_hash_set<std::shared_ptr<Conversation>> open_;
  Places calls_of_{kMaxAskCallsPerAgent};
  absl::Status drained_;  // not OK once drained
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_ASKS_H_
