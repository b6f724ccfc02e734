// The shell of a unary gRPC method over a handler that knows nothing of gRPC: runs the handler on an executor (a
// service's loop) and finishes the call with what it answers, once, from any thread. Cancelled and late answers are
// dropped safely.
//
//   grpc::ServerUnaryReactor* Resolve(grpc::CallbackServerContext* context, const ResolveRequest* request,
//   ResolveResponse* response) override {
//     return rpc::Unary(context, post_, response, [this, request](auto done) { handler_.Resolve(*request,
//     std::move(done)); });
//   }
#ifndef DOTAGENT_COMMON_RPC_CALL_H_
#define DOTAGENT_COMMON_RPC_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc/status.h"

namespace dotagent::rpc {

// Runs work later on the service's loop.
using Executor = std::function<void(std::function<void()>)>;

template <typename Response>
using Done = std::function<void(absl::StatusOr<Response>)>;

// How long the caller waits still; infinite if it has not said.
[[nodiscard]] inline absl::Duration TimeLeft(const grpc::CallbackServerContext& context) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteDuration();
  return absl::FromChrono(deadline) - absl::Now();
}

// `start(done)` runs on the executor; the request that it captured lives until `done` is called. `done` must be called
// exactly once.
template <typename Response, typename Start>
grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Executor& post, Response* response,
                                Start start) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  post([reactor, response, start = std::move(start)]() mutable {
    start(Done<Response>([reactor, response](absl::StatusOr<Response> result) {
      const grpc::Status status = ToGrpc(result.status());
      if (result.ok()) *response = *std::move(result);
      reactor->Finish(status);
    }));
  });
  return reactor;
}

// The shell of a method that is answered at once, on gRPC's thread.
template <typename Response>
grpc::ServerUnaryReactor* Finished(grpc::CallbackServerContext* context, Response* response,
                                   absl::StatusOr<Response> result) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const grpc::Status status = ToGrpc(result.status());
  if (result.ok()) *response = *std::move(result);
  reactor->Finish(status);
  return reactor;
}

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_CALL_H_
