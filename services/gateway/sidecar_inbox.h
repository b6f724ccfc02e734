// SidecarService.Listen as an Inbox call: what comes from the gateway goes on to the agent in plain words, and what the
// agent answers is signed on its way.
//
// Defends against an agent that answers what it was not asked, or what can be no message: it is told (Refusal),
// in its turn among the gateway's own events; and one that does not read why is cut off, as on an Inbox.
#ifndef DOTAGENT_SERVICES_GATEWAY_SIDECAR_INBOX_H_
#define DOTAGENT_SERVICES_GATEWAY_SIDECAR_INBOX_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/record/message.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "dotagent/sidecar/v1/sidecar.pb.h"
#include "services/gateway/listeners.h"
#include "services/gateway/sidecar.h"

namespace dotagent::gateway_service {

inline constexpr size_t kMaxHandles = 4096;  // requests that wait for the agent's answer; beyond it the oldest goes

// On the loop.
class SidecarInbox final : public InboxStream, public std::enable_shared_from_this<SidecarInbox> {
 public:
  // Makes the signed answer to a request.
  using Sign = std::function<absl::StatusOr<record::Message>(const record::Message& request,
                                                             const sidecar::v1::ListenAnswer& answer)>;

  SidecarInbox(std::shared_ptr<ListenStream> stream, std::string name, Sign sign, const Clock& clock)
      : stream_(std::move(stream)), name_(std::move(name)), sign_(std::move(sign)), clock_(clock) {}

  void Read(std::function<void(std::optional<gateway::v1::InboxRequest>)> done) override;
  void Write(gateway::v1::InboxResponse response, std::function<void(bool)> done) override;
  void Finish(absl::Status status) override { stream_->Finish(std::move(status)); }
  void OnCancelled(std::function<void()> gone) override { stream_->OnCancelled(std::move(gone)); }

 private:
  struct Waiting {  // a write of the gateway's
    sidecar::v1::ListenResponse response;
    std::function<void(bool)> done;
  };
  [[nodiscard]] absl::StatusOr<gateway::v1::InboxRequest> Translate(const sidecar::v1::ListenRequest& request);
  [[nodiscard]] absl::StatusOr<gateway::v1::InboxAnswer> Answer(const sidecar::v1::ListenAnswer& answer);
  [[nodiscard]] absl::StatusOr<sidecar::v1::ListenResponse> Translate(gateway::v1::InboxResponse& response);
  [[nodiscard]] absl::StatusOr<sidecar::v1::ReceivedMessage> Show(gateway::v1::InboxMessage& in) const;
  [[nodiscard]] absl::StatusOr<sidecar::v1::ReceivedRequest> Show(gateway::v1::ReceivedRequest& in);
  void Refuse(const absl::Status& why);
  void Pump();

  const std::shared_ptr<ListenStream> stream_;
  const std::string name_;
  const Sign sign_;
  const Clock& clock_;
  uint64_t last_handle_ = 0;
  absl::btree_map<uint64_t, record::Message> asked_;  // by handle
  std::optional<Waiting> next_;
  std::deque<gateway::v1::Refusal> refused_;
  bool writing_ = false;
};

}  // namespace dotagent::gateway_service

#endif  // DOTAGENT_SERVICES_GATEWAY_SIDECAR_INBOX_H_
