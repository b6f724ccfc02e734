// One agent's messages over one call to the gateway (Ask), any number at a time, without a thread.
#ifndef DOTAGENT_TESTS_BENCH_SEND_STREAM_H_
#define DOTAGENT_TESTS_BENCH_SEND_STREAM_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"

namespace dotagent::bench {

// Thread-safe.
class SendStream : private grpc::ClientBidiReactor<gateway::v1::AskRequest, gateway::v1::AskResponse> {
 public:
  // True if the message was taken, and is a new one.
  using Done = std::function<void(bool ok)>;

  SendStream(gateway::v1::GatewayService::Stub& stub, const std::string& token);
  // What has not been answered is not any more.
  ~SendStream() override;

  // `done` is called on one of gRPC's threads.
  void Send(const std::string& message_json, Done done);

 private:
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnWriteDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  grpc::ClientContext context_;
  gateway::v1::AskResponse response_;
  absl::Mutex mutex_;
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<gateway::v1::AskRequest> waiting_ ABSL_GUARDED_BY(mutex_);  // the first is being written
  absl::flat_hash_map<uint64_t, Done> sent_ ABSL_GUARDED_BY(mutex_);
  absl::Notification ended_;
};

}  // namespace dotagent::bench

#endif  // DOTAGENT_TESTS_BENCH_SEND_STREAM_H_
