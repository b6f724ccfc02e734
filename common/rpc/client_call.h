// The other side of call.h: calls unary methods of another service and hands the answers to the caller's loop.
//
//   rpc::ClientCalls calls(post);
//   using Async = ResolverService::StubInterface::async_interface;
//   calls.Unary<Async, ResolveRequest, ResolveResponse>(stub->async(), &Async::Resolve, request, absl::Seconds(5),
//   done);
#ifndef DOTAGENT_COMMON_RPC_CLIENT_CALL_H_
#define DOTAGENT_COMMON_RPC_CLIENT_CALL_H_

#include <grpcpp/client_context.h>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/call.h"
#include "common/rpc/status.h"

namespace dotagent::rpc {

// The calls that a client has under way, so that it can end: after Shutdown none of them touches the executor any more.
// Thread-safe. The stubs that it calls must live until Shutdown.
class ClientCalls {
 public:
  explicit ClientCalls(Executor post) : post_(std::move(post)) {}
  ~ClientCalls() { Shutdown(); }
  ClientCalls(const ClientCalls&) = delete;
  ClientCalls& operator=(const ClientCalls&) = delete;

  // `done` runs on the executor, once; or never, if the executor has stopped or this was shut down. DeadlineExceeded
  // after `timeout`.
  template <typename Async, typename Request, typename Response>
  void Unary(Async* stub,
             void (Async::*method)(grpc::ClientContext*, const Request*, Response*, std::function<void(grpc::Status)>),
             Request request, absl::Duration timeout, Done<Response> done) {
    struct Call {
      grpc::ClientContext context;
      Request request;
      Response response;
    };
    auto call = std::make_shared<Call>();
    call->request = std::move(request);
    call->context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
    if (!under_way_->Add(&call->context)) return;
    (stub->*method)(
        &call->context, &call->request, &call->response,
        [call, post = post_, under_way = under_way_, done = std::move(done)](const grpc::Status& status) mutable {
          under_way->Finish(&call->context, [&] {
            // Moved, so that the call, which holds the channel, never dies on gRPC's own thread: gRPC 1.51 would join
            // that thread from itself and abort.
            post([call = std::move(call), done = std::move(done), status] {
              if (!status.ok()) return done(FromGrpc(status));
              done(std::move(call->response));
            });
          });
        });
  }

  // Cancels what is under way and waits until gRPC has let go of it. What was posted before still runs if the executor
  // does. Idempotent. Not from the executor's thread.
  void Shutdown() { under_way_->CancelAndWait(); }

 private:
  // Shared with the calls: the last of them may still be unlocking when Shutdown returns.
  class UnderWay {
   public:
    // False: shut down, do not call.
    [[nodiscard]] bool Add(grpc::ClientContext* context) {
      absl::MutexLock lock(&mutex_);
      if (!shut_down_) contexts_.insert(context);
      return !shut_down_;
    }
    // Forgets the call and posts what becomes of it, as one step.
    void Finish(grpc::ClientContext* context, absl::FunctionRef<void()> post_answer) {
      absl::MutexLock lock(&mutex_);
      contexts_.erase(context);
      post_answer();
    }
    void CancelAndWait() {
      absl::MutexLock lock(&mutex_);
      shut_down_ = true;
      for (grpc::ClientContext* context : contexts_) context->TryCancel();
      mutex_.Await(absl::Condition(
          +[](absl::flat_hash_set<grpc::ClientContext*>* contexts) { return contexts->empty(); }, &contexts_));
    }

   private:
    absl::Mutex mutex_;
    bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
    absl::flat_hash_set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mutex_);
  };

  const Executor post_;
  const std::shared_ptr<UnderWay> under_way_ = std::make_shared<UnderWay>();
};

}  // namespace dotagent::rpc

#endif  // DOTAGENT_COMMON_RPC_CLIENT_CALL_H_
