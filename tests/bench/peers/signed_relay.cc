// The least that a signed request and its answer cost over gRPC: one who asks, one who answers and a server between
// them, each a process, with bare streams (bare_server.h), signed messages, and nothing else. The server checks what
// comes and passes it on; who answers checks it and signs an answer with the same content.
//
//   bench-peer-relay serve             prints {"address": "127.0.0.1:PORT"}, serves until standard input ends
//   bench-peer-relay answer ADDRESS    prints {"ready": true} when it listens, until the server ends
//
// Who answers opens OpenChannel with `accept`, who asks with `call`; then both send `data`, one at a time.
#include <iostream>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/rpc/status.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"
#include "tests/bench/peers/bare_call.h"
#include "tests/bench/peers/bare_server.h"
#include "tests/bench/peers/signed_message.h"

namespace dotagent::bench {
namespace {

namespace v1 = ::dotagent::gateway::v1;

class Relay : public v1::GatewayService::CallbackService {
 public:
  grpc::ServerBidiReactor<v1::OpenChannelRequest, v1::OpenChannelResponse>* OpenChannel(
      grpc::CallbackServerContext*) override {
    return new Reactor(*this);  // deleted in OnDone
  }

 private:
  class Reactor : public grpc::ServerBidiReactor<v1::OpenChannelRequest, v1::OpenChannelResponse> {
   public:
    explicit Reactor(Relay& relay) : relay_(relay) { StartRead(&request_); }
    void OnReadDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::OK);
      if (!request_.has_data()) {
        relay_.Join(*this, request_.has_accept());
      } else if (VerifyMessage(request_.data()).ok()) {
        relay_.PassOn(*this, std::move(*request_.mutable_data()));
      }
      StartRead(&request_);
    }
    void OnDone() override {
      relay_.Leave(*this);
      delete this;
    }
    // One at a time.
    void Send(std::string data) {
      response_.set_data(std::move(data));
      StartWrite(&response_);
    }

   private:
    Relay& relay_;
    v1::OpenChannelRequest request_;
    v1::OpenChannelResponse response_;
  };

  void Join(Reactor& reactor, bool answers) {
    const absl::MutexLock lock(&mutex_);
    (answers ? answers_ : asks_) = &reactor;
  }
  void PassOn(const Reactor& from, std::string data) {
    const absl::MutexLock lock(&mutex_);
    Reactor* const to = &from == asks_ ? answers_ : asks_;
    if (to != nullptr) to->Send(std::move(data));
  }
  void Leave(const Reactor& reactor) {
    const absl::MutexLock lock(&mutex_);
    if (asks_ == &reactor) asks_ = nullptr;
    if (answers_ == &reactor) answers_ = nullptr;
  }

  absl::Mutex mutex_;
  Reactor* asks_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Reactor* answers_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

absl::Status AnswerAll(const std::string& address) {
  SystemRandom random;
  const auto key = crypto::SigningKey::Generate(random);
  ASSIGN_OR_RETURN(const auto call, BareCall::Open(address, key));
  auto& stream = call->stream;
  v1::OpenChannelRequest request;
  request.mutable_accept();
  if (!stream->Write(request)) return rpc::FromGrpc(stream->Finish());
  std::cout << R"({"ready":true})" << std::endl;
  for (v1::OpenChannelResponse response; stream->Read(&response);) {
    ASSIGN_OR_RETURN(const record::Message asked, VerifyMessage(response.data()));
    ASSIGN_OR_RETURN(*request.mutable_data(),
                     SignMessage(key, record::MessageType::kResponse, asked.id(), asked.content()));
    if (!stream->Write(request)) break;
  }
  return absl::OkStatus();  // the server has ended
}

}  // namespace
}  // namespace dotagent::bench

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "serve" && argc == 2) {
    dotagent::bench::Relay relay;
    return dotagent::bench::ServeBare({&relay});
  }
  if (verb != "answer" || argc != 3) {
    std::cerr << "usage: bench-peer-relay serve | answer ADDRESS\n";
    return 2;
  }
  const absl::Status answered = dotagent::bench::AnswerAll(argv[2]);
  if (answered.ok()) return 0;
  std::cerr << "bench-peer-relay: " << answered << "\n";
  return 1;
}
