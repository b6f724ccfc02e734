// The other side of call.h: calls a unary method of another service and hands its answer to the caller's loop.
//
//   rpc::CallUnary(stub->async(), &ResolverService::StubInterface::async_interface::Resolve, request, absl::Seconds(5),
//   post, done);
#ifndef DOTAGENT_COMMON_RPC_CLIENT_CALL_H_
#define DOTAGENT_COMMON_RPC_CLIENT_CALL_H_

#include <grpcpp/client_context.h>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/call.h"
#include "common/rpc/status.h"

namespace dotagent::rpc {

// `done` runs on `post`'s executor, once; or never, if the executor has stopped. DeadlineExceeded after `timeout`. The
// stub's channel must outlive the call.
template <typename Async, typename Request, typename Response>
void CallUnary(Async* stub,
               void (Async::*method)(grpc::ClientContext*, const Request*, Response*,
                                     std::function<void(grpc::Status)>),
               Request request, absl::Duration timeout, const Executor& post, Done<Response> done) {
  struct Call {
    grpc::ClientContext context;
    Request request;
    Response response;
  };
  auto call = std::make_shared<Call>();
  call->request = std::move(request);
  call->context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  (stub->*method)(&call->context, &call->request, &call->response,
                  [call, post, done = std::move(done)](grpc::Status status) mutable {
                    // Moved, so that the call, which holds the channel, never dies on gRPC's own thread: gRPC 1.51
                    // would join that thread from itself and abort.
                    post([call = std::move(call), done = std::move(done), status = std::move(status)] {
                      if (status.ok()) {
                        done(std::move(call->response));
                      } else {
                        done(FromGrpc(status));
                      }
                    });
                  });
}

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_CLIENT_CALL_H_
