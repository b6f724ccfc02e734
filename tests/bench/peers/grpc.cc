// A bare gRPC server (bare_server.h) as a system under test: one method that answers with bytes it was given, and a
// bidirectional stream that sends every message back.
//
//   bench-peer-grpc        prints {"address": "127.0.0.1:PORT"}, serves until standard input ends
//
// Publish keeps the bytes, Resolve answers with them; so clients speak to it as to a resolver. OpenChannel echoes
// `data`; so they speak to it as to a gateway.
#include <deque>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"
#include "tests/bench/peers/bare_server.h"

namespace {

namespace gateway_v1 = dotagent::gateway::v1;
namespace v1 = dotagent::resolver::v1;

class Echo : public v1::ResolverService::CallbackService {
 public:
  grpc::ServerUnaryReactor* Publish(grpc::CallbackServerContext* context, const v1::PublishRequest* request,
                                    v1::PublishResponse*) override {
    answer_.set_record_json(request->record_json());
    answer_.set_source(v1::ANSWER_SOURCE_CACHE);
    answer_.set_remaining_ttl_s(5);
    return Finish(context);
  }
  grpc::ServerUnaryReactor* Resolve(grpc::CallbackServerContext* context, const v1::ResolveRequest*,
                                    v1::ResolveResponse* response) override {
    *response = answer_;
    return Finish(context);
  }

 private:
  static grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  v1::ResolveResponse answer_;  // set once, before the first Resolve
};

class EchoStream : public gateway_v1::GatewayService::CallbackService {
 public:
  grpc::ServerBidiReactor<gateway_v1::OpenChannelRequest, gateway_v1::OpenChannelResponse>* OpenChannel(
      grpc::CallbackServerContext*) override {
    return new Reactor();  // deleted in OnDone
  }

 private:
  // Reads on while it writes, so that neither waits for the other.
  class Reactor : public grpc::ServerBidiReactor<gateway_v1::OpenChannelRequest, gateway_v1::OpenChannelResponse> {
   public:
    Reactor() { StartRead(&request_); }
    void OnReadDone(bool ok) override {
      const absl::MutexLock lock(&mutex_);
      if (!ok) {
        read_all_ = true;
        if (!writing_) End();
        return;
      }
      waiting_.push_back(request_.data());
      if (!writing_) WriteNext();
      if (waiting_.size() < kMostWaiting) {
        StartRead(&request_);
      } else {
        paused_ = true;
      }
    }
    void OnWriteDone(bool ok) override {
      const absl::MutexLock lock(&mutex_);
      writing_ = false;
      if (ok && !waiting_.empty()) return WriteNext();
      if (!ok || read_all_) End();
    }
    void OnDone() override { delete this; }

   private:
    static constexpr size_t kMostWaiting = 1024;

    // A client that went away ends a read and a write.
    void End() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      if (!std::exchange(ended_, true)) Finish(grpc::Status::OK);
    }
    void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      writing_ = true;
      response_.set_data(waiting_.front());
      waiting_.pop_front();
      StartWrite(&response_);
      if (!std::exchange(paused_, false)) return;
      StartRead(&request_);
    }

    gateway_v1::OpenChannelRequest request_;
    gateway_v1::OpenChannelResponse response_;
    absl::Mutex mutex_;
    std::deque<std::string> waiting_ ABSL_GUARDED_BY(mutex_);
    bool writing_ ABSL_GUARDED_BY(mutex_) = false;
    bool paused_ ABSL_GUARDED_BY(mutex_) = false;
    bool read_all_ ABSL_GUARDED_BY(mutex_) = false;
    bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  };
};

}  // namespace

int main() {
  Echo echo;
  EchoStream echo_stream;
  return dotagent::bench::ServeBare({&echo, &echo_stream});
}
