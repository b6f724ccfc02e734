// Requests and messages to other agents over one call to the gateway (its Ask), from any number of threads at once:
// each waits for its own outcome, and none of them pays for a call of its own.
#ifndef DOTAGENT_SDK_CPP_ASK_CALL_H_
#define DOTAGENT_SDK_CPP_ASK_CALL_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/driven_stream.h"
#include "dotagent/gateway/v1/gateway.pb.h"
#include "sdk/cpp/gateway_client.h"

namespace dotagent::sdk {

// Thread-safe.
class AskCall {
 public:
  // Opens the call with the token that `gateway` has now.
  explicit AskCall(std::shared_ptr<GatewayClient> gateway);

  // Wait for the outcome until `deadline`: as GatewayService.Request and Send, or why the call has ended. Then this is
  // of no more use.
  [[nodiscard]] absl::StatusOr<gateway::v1::RequestResponse> Ask(gateway::v1::RequestRequest request,
                                                                 absl::Time deadline);
  [[nodiscard]] absl::StatusOr<gateway::v1::SendResponse> Send(gateway::v1::SendRequest request, absl::Time deadline);

  // Whether the call has ended, as far as can be seen now.
  [[nodiscard]] bool HasEnded();

 private:
  using Stream = rpc::DrivenStream<gateway::v1::AskRequest, gateway::v1::AskResponse>;
  using Outcome = absl::StatusOr<gateway::v1::AskResponse>;

  // The response, which is not `refused`.
  [[nodiscard]] Outcome Exchange(gateway::v1::AskRequest ask, absl::Time deadline);
  // Begins to wait for an outcome, under a number of its own.
  [[nodiscard]] uint64_t Begin();
  [[nodiscard]] bool IsDone(uint64_t number);
  // Stops waiting; nothing if no outcome has come.
  [[nodiscard]] std::optional<gateway::v1::AskResponse> End(uint64_t number);
  void Take(gateway::v1::AskResponse response);

  const std::shared_ptr<GatewayClient> gateway_;
  absl::Mutex mutex_;
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time last_used_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, std::optional<gateway::v1::AskResponse>> waiting_ ABSL_GUARDED_BY(mutex_);
  Stream stream_;  // last: what it takes goes into the above
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_ASK_CALL_H_
