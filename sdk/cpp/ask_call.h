// Requests to other agents over one call to the gateway (its Ask), from any number of threads at once: each waits for
// its own answer, and none of them pays for a call of its own.
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

  // Asks, and waits for the answer until `deadline`: as GatewayService.Request, or why the call has ended. Then this
  // is of no more use.
  [[nodiscard]] absl::StatusOr<gateway::v1::RequestResponse> Ask(const gateway::v1::RequestRequest& request,
                                                                 absl::Time deadline);

  // Whether the call has ended, as far as can be seen now.
  [[nodiscard]] bool HasEnded();

 private:
  using Stream = rpc::DrivenStream<gateway::v1::AskRequest, gateway::v1::AskResponse>;
  using Answer = absl::StatusOr<gateway::v1::RequestResponse>;

  // Begins to wait for an answer, under a number of its own.
  [[nodiscard]] uint64_t Begin();
  [[nodiscard]] bool IsAnswered(uint64_t number);
  // Stops waiting; nothing if no answer has come.
  [[nodiscard]] std::optional<Answer> End(uint64_t number);
  void Take(gateway::v1::AskResponse response);

  const std::shared_ptr<GatewayClient> gateway_;
  absl::Mutex mutex_;
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time last_used_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, std::optional<Answer>> waiting_ ABSL_GUARDED_BY(mutex_);
  Stream stream_;  // last: what it takes goes into the above
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_SDK_CPP_ASK_CALL_H_
