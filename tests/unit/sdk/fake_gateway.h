// A gateway that is played here, over real gRPC on loopback: it authenticates as a gateway does, and for the rest says
// what a test tells it to, true or not.
#ifndef DOTAGENT_TESTS_UNIT_SDK_FAKE_GATEWAY_H_
#define DOTAGENT_TESTS_UNIT_SDK_FAKE_GATEWAY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/identity/certificate.h"
#include "common/identity/challenge.h"
#include "common/rpc/server.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"
#include "sdk/cpp/agent.h"

namespace dotagent::sdk {

inline constexpr absl::Duration kPatience = absl::Seconds(30);

class ChannelEnd;

// The two ends of a channel, and what went through. All under `mutex`.
struct Splice {
  absl::Mutex mutex;
  ChannelEnd* caller ABSL_GUARDED_BY(mutex) = nullptr;    // until gRPC is done with it
  ChannelEnd* listener ABSL_GUARDED_BY(mutex) = nullptr;  // likewise
  std::string carried ABSL_GUARDED_BY(mutex);
  // Changes what goes from the caller to the listener, if set.
  std::function<void(std::string& bytes)> tamper ABSL_GUARDED_BY(mutex);
  bool ended ABSL_GUARDED_BY(mutex) = false;
  int closed ABSL_GUARDED_BY(mutex) = 0;
};

class FakeGateway : public gateway::v1::GatewayService::CallbackService {
 public:
  // With a certificate it speaks TLS.
  explicit FakeGateway(const identity::NodeCertificate* certificate = nullptr);
  ~FakeGateway() override;

  [[nodiscard]] std::string address() const;
  [[nodiscard]] const crypto::SigningKey& key() const { return key_; }
  // Connects an agent; fails the test if it cannot.
  [[nodiscard]] std::unique_ptr<Agent> Connect(const std::string& name, const crypto::SigningKey& agent_key,
                                               absl::Duration timeout = kPatience);
  void Stop() { server_.reset(); }

  // Puts a record into the directory, under `name` (the record's own, if empty).
  void AddRecord(const std::string& json, const std::string& name = "");
  // No token is good any more.
  void ForgetTokens();
  // What Negotiate answers, if it is not refused; version 1.0.0 and the feature "topics" at first.
  void Speak(const gateway::v1::NegotiateResponse& spoken) {
    absl::MutexLock lock(&mutex_);
    spoken_ = spoken;
  }
  // What Negotiate, Authenticate, Resolve, GetRotation, Send, OpenChannel and Inbox answer from now on, if not OK.
  void Refuse(const std::string& method, const absl::Status& status);
  // Signs challenges with garbage.
  void ForgeChallenges();
  [[nodiscard]] int Count(const std::string& method);
  [[nodiscard]] gateway::v1::RegisterRequest last_register() {
    absl::MutexLock lock(&mutex_);
    return last_register_;
  }
  [[nodiscard]] gateway::v1::SendRequest last_send() {
    absl::MutexLock lock(&mutex_);
    return last_send_;
  }
  // Whose every name is, and by which keys it came to its current one.
  void SetOwner(const std::string& agent_id, const std::string& rotation_chain) {
    absl::MutexLock lock(&mutex_);
    owner_ = agent_id;
    rotation_chain_ = rotation_chain;
  }
  void SetDeadLetters(const gateway::v1::ListDeadLettersResponse& letters) {
    absl::MutexLock lock(&mutex_);
    dead_letters_ = letters;
  }

  // What an inbox says after `ready`, then ends with `end`; without `end` it stays open.
  void SetInbox(std::vector<gateway::v1::InboxResponse> events, std::optional<absl::Status> end = std::nullopt,
                bool ready = true);
  // Sequences that were acknowledged, once there are `count`.
  [[nodiscard]] std::vector<uint64_t> AwaitAcks(size_t count);

  // What Ask calls say when they have read a request; nothing at first.
  void AnswerAsks(std::function<std::vector<gateway::v1::AskResponse>(const gateway::v1::AskRequest&)> answer) {
    absl::MutexLock lock(&mutex_);
    answer_asks_ = std::move(answer);
  }
  // Ends every Ask call that is open.
  void EndAsks(const absl::Status& status);

  // What a subscription answers, before it ends with `end`.
  void SetSubscription(std::vector<gateway::v1::SubscribeResponse> answers, const absl::Status& end);
  [[nodiscard]] gateway::v1::SubscribeRequest last_subscribe() {
    absl::MutexLock lock(&mutex_);
    return last_subscribe_;
  }

  // The next channel that is called. A test accepts the offer, or plays the listener by what it has the gateway say.
  [[nodiscard]] std::optional<ChannelOffer> AwaitOffer();
  // Answers calls itself with these bytes instead of offering them, and `opened` first unless told not to; then ends
  // them in order, or says nothing more.
  void AnswerChannels(const std::string& bytes, bool opened = true, bool then_end = false);
  // Ends every open channel at both ends.
  void EndChannels(const absl::Status& status);
  void SetTamper(std::function<void(std::string& bytes)> tamper);
  // All bytes that the newest channel carried.
  [[nodiscard]] std::string carried();

  // gRPC's side.
  grpc::ServerUnaryReactor* Challenge(grpc::CallbackServerContext* context,
                                      const gateway::v1::ChallengeRequest* request,
                                      gateway::v1::ChallengeResponse* response) override;
  grpc::ServerUnaryReactor* Negotiate(grpc::CallbackServerContext* context,
                                      const gateway::v1::NegotiateRequest* request,
                                      gateway::v1::NegotiateResponse* response) override;
  grpc::ServerUnaryReactor* Authenticate(grpc::CallbackServerContext* context,
                                         const gateway::v1::AuthenticateRequest* request,
                                         gateway::v1::AuthenticateResponse* response) override;
  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context, const gateway::v1::GetInfoRequest* request,
                                    gateway::v1::GetInfoResponse* response) override;
  grpc::ServerUnaryReactor* Register(grpc::CallbackServerContext* context, const gateway::v1::RegisterRequest* request,
                                     gateway::v1::RegisterResponse* response) override;
  grpc::ServerUnaryReactor* Resolve(grpc::CallbackServerContext* context, const gateway::v1::ResolveRequest* request,
                                    gateway::v1::ResolveResponse* response) override;
  grpc::ServerUnaryReactor* GetRotation(grpc::CallbackServerContext* context,
                                        const gateway::v1::GetRotationRequest* request,
                                        gateway::v1::GetRotationResponse* response) override;
  grpc::ServerUnaryReactor* ListDeadLetters(grpc::CallbackServerContext* context,
                                            const gateway::v1::ListDeadLettersRequest* request,
                                            gateway::v1::ListDeadLettersResponse* response) override;
  grpc::ServerUnaryReactor* Send(grpc::CallbackServerContext* context, const gateway::v1::SendRequest* request,
                                 gateway::v1::SendResponse* response) override;
  grpc::ServerUnaryReactor* Request(grpc::CallbackServerContext* context, const gateway::v1::RequestRequest* request,
                                    gateway::v1::RequestResponse* response) override;
  grpc::ServerBidiReactor<gateway::v1::AskRequest, gateway::v1::AskResponse>* Ask(
      grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<gateway::v1::InboxRequest, gateway::v1::InboxResponse>* Inbox(
      grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<gateway::v1::OpenChannelRequest, gateway::v1::OpenChannelResponse>* OpenChannel(
      grpc::CallbackServerContext* context) override;
  grpc::ServerWriteReactor<gateway::v1::SubscribeResponse>* Subscribe(
      grpc::CallbackServerContext* context, const gateway::v1::SubscribeRequest* request) override;

 private:
  friend class ChannelEnd;
  class InboxStream;
  class AskStream;
  class SubscribeStream;

  // Counts the call; OK if the caller's token is good and the method is not refused.
  [[nodiscard]] absl::Status Admit(const grpc::CallbackServerContext& context, const std::string& method);
  // What the first request of a channel leads to.
  void Begin(ChannelEnd* end, const gateway::v1::OpenChannelRequest& first);

  SystemRandom random_;
  const crypto::SigningKey key_;
  const bool tls_;
  absl::Mutex mutex_;
  identity::Challenger challenger_ ABSL_GUARDED_BY(mutex_);
  bool forge_challenges_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<std::string> tokens_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, absl::Status> refusals_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> counts_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> records_ ABSL_GUARDED_BY(mutex_);
  std::vector<gateway::v1::InboxResponse> inbox_ ABSL_GUARDED_BY(mutex_);
  std::function<std::vector<gateway::v1::AskResponse>(const gateway::v1::AskRequest&)> answer_asks_
      ABSL_GUARDED_BY(mutex_);
  std::set<AskStream*> asks_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> inbox_end_ ABSL_GUARDED_BY(mutex_);
  std::vector<gateway::v1::SubscribeResponse> subscription_ ABSL_GUARDED_BY(mutex_);
  absl::Status subscription_end_ ABSL_GUARDED_BY(mutex_);
  gateway::v1::SubscribeRequest last_subscribe_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint64_t> acks_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Splice>> splices_ ABSL_GUARDED_BY(mutex_);
  std::vector<ChannelOffer> offers_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::vector<gateway::v1::OpenChannelResponse>> own_answer_ ABSL_GUARDED_BY(mutex_);
  bool then_end_ ABSL_GUARDED_BY(mutex_) = false;
  gateway::v1::NegotiateResponse spoken_ ABSL_GUARDED_BY(mutex_);
  gateway::v1::RegisterRequest last_register_ ABSL_GUARDED_BY(mutex_);
  gateway::v1::SendRequest last_send_ ABSL_GUARDED_BY(mutex_);
  std::string owner_ ABSL_GUARDED_BY(mutex_);
  std::string rotation_chain_ ABSL_GUARDED_BY(mutex_);
  gateway::v1::ListDeadLettersResponse dead_letters_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace dotagent::sdk

#endif  // DOTAGENT_TESTS_UNIT_SDK_FAKE_GATEWAY_H_
