// Sidecar mode: the gateway beside one agent, with that agent's key. What SidecarService's calls do, knowing nothing of
// gRPC: they sign what the agent says, and give it to the gateway as any agent's client would.
//
// The agent's process is trusted as far as its socket is (rpc/local_socket.h): whoever may open that speaks for the
// agent, but does not get the key. Everything else is as at any gateway: the agent is one that has a token, so a
// revoked key, inbox policies and limits mean the same.
//
// Signatures are made on the loop: 20 µs with a key in a file. With a token or a TPM, which take milliseconds, the
// loop waits for them; it has one agent.
#ifndef DOTAGENT_SERVICES_GATEWAY_SIDECAR_H_
#define DOTAGENT_SERVICES_GATEWAY_SIDECAR_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/record/message.h"
#include "common/record/name.h"
#include "common/record/name_proof.h"
#include "common/telemetry/metrics.h"
#include "dotagent/sidecar/v1/sidecar.pb.h"
#include "services/gateway/bidi_stream.h"
#include "services/gateway/event_stream.h"
#include "services/gateway/gateway.h"
#include "services/gateway/name_keeper.h"

namespace dotagent::gateway_service {

using ListenStream = BidiStream<sidecar::v1::ListenRequest, sidecar::v1::ListenResponse>;

// On the loop, but for what says otherwise.
class Sidecar {
 public:
  template <typename Response>
  using Done = std::function<void(absl::StatusOr<Response>)>;

  struct Parts {
    Gateway& gateway;
    record::Name name;
    std::shared_ptr<const crypto::Signer> key;
    std::function<std::vector<std::string>()> addresses;
    std::function<absl::StatusOr<record::NameProof>()> proof;
    const Clock& clock;
    Random& random;
    telemetry::Metrics& metrics;
  };
  // All parts must outlive it, and it must outlive every call.
  explicit Sidecar(const Parts& parts);

  // What makes a call of GatewayService the agent's own. It does not leave the process, and ends only with the key.
  // From any thread.
  [[nodiscard]] const std::string& token() const { return token_; }

  [[nodiscard]] sidecar::v1::GetAgentResponse GetAgent() const;
  // InvalidArgument (BAD_MESSAGE, BAD_NAME, TOO_LARGE) if no message can be made of it; otherwise as Gateway's.
  void Send(const sidecar::v1::SendRequest& request, Done<sidecar::v1::SendResponse> done);
  void Request(const sidecar::v1::RequestRequest& request, absl::Time deadline,
               Done<sidecar::v1::RequestResponse> done);
  void Publish(const sidecar::v1::PublishRequest& request, Done<sidecar::v1::PublishResponse> done);
  void Listen(std::shared_ptr<ListenStream> stream);
  void Subscribe(const sidecar::v1::SubscribeRequest& request, std::shared_ptr<EventStream> stream);

  // Keeps the name registered; call about once a second.
  void Tick();

 private:
  // What the agent says: a SendRequest, a RequestRequest or a ListenAnswer.
  template <typename Said>
  [[nodiscard]] absl::StatusOr<record::Message> Sign(const Said& said, record::MessageType type, std::string id,
                                                     const std::string& recipient) const;

  const Parts parts_;
  const std::string token_;
  NameKeeper keeper_;
  telemetry::Gauge& registered_;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_SIDECAR_H_
