#include "tests/unit/sdk/fake_gateway.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/rpc/status.h"

namespace dotagent::sdk {

namespace v1 = ::dotagent::gateway::v1;

namespace {

grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(rpc::ToGrpc(status));
  return reactor;
}

}  // namespace

// One end of a channel. A chunk that was read is written to the other end, and read on from when it has been.
class ChannelEnd : public grpc::ServerBidiReactor<v1::OpenChannelRequest, v1::OpenChannelResponse> {
 public:
  ChannelEnd(FakeGateway& gateway, absl::Status admitted) : gateway_(gateway) {
    if (admitted.ok()) {
      StartRead(&request_);
    } else {
      FinishOnce(admitted);
    }
  }

  // Joins a channel, as one of its two ends.
  void Join(std::shared_ptr<Splice> splice, bool is_caller) {
    splice_ = std::move(splice);
    absl::MutexLock lock(&splice_->mutex);
    (is_caller ? splice_->caller : splice_->listener) = this;
    if (splice_->ended) return FinishOnce(absl::UnavailableError("the other end has gone"));
    if (splice_->caller == nullptr || splice_->listener == nullptr) return;
    splice_->caller->WriteOpened();
    splice_->listener->WriteOpened();
  }
  // Says these things, then ends or says nothing more.
  void Play(std::deque<v1::OpenChannelResponse> answers, bool then_end) {
    played_ = std::move(answers);
    then_end_ = then_end;
    PlayNext();
  }
  // Ends both.
  static void EndBoth(Splice& splice, const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(splice.mutex) {
    splice.ended = true;
    for (ChannelEnd* end : {splice.caller, splice.listener}) {
      if (end != nullptr) end->FinishOnce(status);
    }
  }

  void OnReadDone(bool ok) override {
    if (!splice_) {
      if (ok) return gateway_.Begin(this, request_);
      if (!played_) FinishOnce(absl::CancelledError("the agent has gone"));
      return;
    }
    absl::MutexLock lock(&splice_->mutex);
    if (!ok) {
      if (++splice_->closed == 2) EndBoth(*splice_, absl::OkStatus());
      return;
    }
    ChannelEnd* other = Other();
    if (other == nullptr || splice_->ended) return;
    std::string bytes = request_.data();
    if (splice_->tamper && this == splice_->caller) splice_->tamper(bytes);
    splice_->carried += bytes;
    other->response_.set_data(std::move(bytes));
    other->StartWrite(&other->response_);
  }
  void OnWriteDone(bool ok) override {
    if (played_) {
      if (ok) PlayNext();
      return;
    }
    absl::MutexLock lock(&splice_->mutex);
    if (!ok || splice_->ended) return;
    if (ChannelEnd* other = Other()) other->StartRead(&other->request_);
  }
  void OnCancel() override {
    if (!splice_) {
      if (played_) FinishOnce(absl::CancelledError("the agent has gone"));
      return;
    }
    absl::MutexLock lock(&splice_->mutex);
    EndBoth(*splice_, absl::UnavailableError("the other end has gone"));
  }
  void OnDone() override {
    if (splice_) {
      absl::MutexLock lock(&splice_->mutex);
      (splice_->caller == this ? splice_->caller : splice_->listener) = nullptr;
    }
    delete this;  // gRPC's reactors belong to gRPC
  }

 private:
  [[nodiscard]] ChannelEnd* Other() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(splice_->mutex) {
    return splice_->caller == this ? splice_->listener : splice_->caller;
  }
  void WriteOpened() {
    response_.mutable_opened()->set_path("local");
    StartWrite(&response_);
  }
  void FinishOnce(const absl::Status& status) {
    if (!finished_.exchange(true)) Finish(rpc::ToGrpc(status));
  }
  void PlayNext() {
    if (played_->empty()) {
      if (then_end_) FinishOnce(absl::OkStatus());
      return;
    }
    response_ = std::move(played_->front());
    played_->pop_front();
    StartWrite(&response_);
  }

  FakeGateway& gateway_;
  v1::OpenChannelRequest request_;
  v1::OpenChannelResponse response_;
  std::shared_ptr<Splice> splice_;
  std::optional<std::deque<v1::OpenChannelResponse>> played_;
  bool then_end_ = false;
  std::atomic<bool> finished_ = false;
};

// Says what the test has set, and hears acks.
class FakeGateway::InboxStream : public grpc::ServerBidiReactor<v1::InboxRequest, v1::InboxResponse> {
 public:
  InboxStream(FakeGateway& gateway, const absl::Status& admitted) : gateway_(gateway) {
    if (admitted.ok()) {
      StartRead(&request_);
      Begin();
    } else {
      FinishOnce(admitted);
    }
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    absl::MutexLock lock(&gateway_.mutex_);
    for (const uint64_t sequence : request_.ack().sequences()) gateway_.acks_.push_back(sequence);
    StartRead(&request_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return;
    events_.pop_front();
    if (!events_.empty()) return StartWrite(&events_.front());
    FinishIfToldTo();
  }
  void OnCancel() override { FinishOnce(absl::CancelledError("the agent has gone")); }
  void OnDone() override { delete this; }  // gRPC's reactors belong to gRPC

 private:
  void Begin() {
    absl::MutexLock lock(&gateway_.mutex_);
    events_.assign(gateway_.inbox_.begin(), gateway_.inbox_.end());
    end_ = gateway_.inbox_end_;
    if (events_.empty()) return FinishIfToldTo();
    StartWrite(&events_.front());
  }
  void FinishIfToldTo() {
    if (end_) FinishOnce(*end_);
  }
  void FinishOnce(const absl::Status& status) {
    if (!finished_.exchange(true)) Finish(rpc::ToGrpc(status));
  }

  FakeGateway& gateway_;
  v1::InboxRequest request_;
  std::deque<v1::InboxResponse> events_;
  std::optional<absl::Status> end_;
  std::atomic<bool> finished_ = false;
};

// Says what the test wants said to each request.
class FakeGateway::AskStream : public grpc::ServerBidiReactor<v1::AskRequest, v1::AskResponse> {
 public:
  AskStream(FakeGateway& gateway, const absl::Status& admitted) : gateway_(gateway) {
    if (!admitted.ok()) {
      Finish(rpc::ToGrpc(admitted));
      return;
    }
    {
      absl::MutexLock lock(&gateway_.mutex_);
      gateway_.asks_.insert(this);
    }
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    absl::MutexLock lock(&gateway_.mutex_);
    if (!gateway_.asks_.contains(this)) return;
    const bool writing = !waiting_.empty();
    if (gateway_.answer_asks_) {
      for (v1::AskResponse& answer : gateway_.answer_asks_(request_)) waiting_.push_back(std::move(answer));
    }
    if (!writing && !waiting_.empty()) StartWrite(&waiting_.front());
    StartRead(&request_);
  }
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&gateway_.mutex_);
    if (!ok || !gateway_.asks_.contains(this)) return;
    waiting_.pop_front();
    if (!waiting_.empty()) StartWrite(&waiting_.front());
  }
  void OnCancel() override {
    absl::MutexLock lock(&gateway_.mutex_);
    End(absl::CancelledError("the agent has gone"));
  }
  void OnDone() override { delete this; }  // gRPC's reactors belong to gRPC

  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(gateway_.mutex_) {
    if (gateway_.asks_.erase(this) > 0) Finish(rpc::ToGrpc(status));
  }

 private:
  FakeGateway& gateway_;
  v1::AskRequest request_;
  std::deque<v1::AskResponse> waiting_;
};

// Says what it was given, and ends.
class FakeGateway::SubscribeStream : public grpc::ServerWriteReactor<v1::SubscribeResponse> {
 public:
  SubscribeStream(std::vector<v1::SubscribeResponse> answers, const absl::Status& end)
      : answers_(answers.begin(), answers.end()), end_(end) {
    Next();
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    answers_.pop_front();
    Next();
  }
  void OnDone() override { delete this; }  // gRPC's reactors belong to gRPC

 private:
  void Next() { answers_.empty() ? Finish(rpc::ToGrpc(end_)) : StartWrite(&answers_.front()); }

  std::deque<v1::SubscribeResponse> answers_;
  const absl::Status end_;
};

FakeGateway::FakeGateway(const identity::NodeCertificate* certificate)
    : key_(crypto::SigningKey::Generate(random_)),
      tls_(certificate != nullptr),
      challenger_("gateway", key_, tls_ ? certificate->sha256 : std::string(32, '\0'), random_) {
  auto server = rpc::Server::Start({.certificate = certificate}, {this});
  EXPECT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  SetInbox({});
  v1::NegotiateResponse spoken;
  spoken.set_version("1.0.0");
  spoken.add_features("topics");
  Speak(spoken);
}

FakeGateway::~FakeGateway() { Stop(); }

std::string FakeGateway::address() const { return absl::StrCat("127.0.0.1:", server_->port()); }

std::unique_ptr<Agent> FakeGateway::Connect(const std::string& name, const crypto::SigningKey& agent_key,
                                            absl::Duration timeout) {
  auto own = crypto::SigningKey::FromSeed(agent_key.seed().view());
  auto agent = Agent::Connect({.gateway = {.gateway = address(), .plaintext = !tls_, .timeout = timeout}, .name = name},
                              std::make_shared<const crypto::SigningKey>(*std::move(own)));
  EXPECT_TRUE(agent.ok()) << agent.status();
  return *std::move(agent);
}

void FakeGateway::AddRecord(const std::string& json, const std::string& name) {
  const auto record = record::Record::Verify(json, absl::Now());
  EXPECT_TRUE(record.ok()) << record.status();
  absl::MutexLock lock(&mutex_);
  records_[name.empty() ? record->name().text() : name] = json;
}

void FakeGateway::ForgetTokens() {
  absl::MutexLock lock(&mutex_);
  tokens_.clear();
}

void FakeGateway::Refuse(const std::string& method, const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  refusals_[method] = status;
}

void FakeGateway::ForgeChallenges() {
  absl::MutexLock lock(&mutex_);
  forge_challenges_ = true;
}

int FakeGateway::Count(const std::string& method) {
  absl::MutexLock lock(&mutex_);
  return counts_[method];
}

void FakeGateway::SetInbox(std::vector<v1::InboxResponse> events, std::optional<absl::Status> end, bool ready) {
  absl::MutexLock lock(&mutex_);
  inbox_.clear();
  if (ready) {
    v1::InboxResponse first;
    first.mutable_ready()->set_pending(events.size());
    inbox_.push_back(std::move(first));
  }
  inbox_.insert(inbox_.end(), events.begin(), events.end());
  inbox_end_ = std::move(end);
}

void FakeGateway::EndAsks(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  while (!asks_.empty()) (*asks_.begin())->End(status);
}

std::vector<uint64_t> FakeGateway::AwaitAcks(size_t count) {
  absl::MutexLock lock(&mutex_);
  const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return acks_.size() >= count; };
  EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
  return acks_;
}

std::optional<ChannelOffer> FakeGateway::AwaitOffer() {
  absl::MutexLock lock(&mutex_);
  const auto offered = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !offers_.empty(); };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&offered), kPatience)) return std::nullopt;
  ChannelOffer offer = std::move(offers_.front());
  offers_.erase(offers_.begin());
  return offer;
}

void FakeGateway::AnswerChannels(const std::string& bytes, bool opened, bool then_end) {
  std::vector<v1::OpenChannelResponse> answers;
  if (opened) answers.emplace_back().mutable_opened()->set_path("local");
  if (!bytes.empty()) answers.emplace_back().set_data(bytes);
  absl::MutexLock lock(&mutex_);
  own_answer_ = std::move(answers);
  then_end_ = then_end;
}

void FakeGateway::EndChannels(const absl::Status& status) {
  std::vector<std::shared_ptr<Splice>> splices;
  {
    absl::MutexLock lock(&mutex_);
    splices = splices_;
  }
  for (const auto& splice : splices) {
    absl::MutexLock lock(&splice->mutex);
    ChannelEnd::EndBoth(*splice, status);
  }
}

void FakeGateway::SetTamper(std::function<void(std::string& bytes)> tamper) {
  absl::MutexLock lock(&mutex_);
  for (const auto& splice : splices_) {
    absl::MutexLock splice_lock(&splice->mutex);
    splice->tamper = tamper;
  }
}

std::string FakeGateway::carried() {
  absl::MutexLock lock(&mutex_);
  const auto& splice = splices_.back();
  absl::MutexLock splice_lock(&splice->mutex);
  return splice->carried;
}

absl::Status FakeGateway::Admit(const grpc::CallbackServerContext& context, const std::string& method) {
  absl::MutexLock lock(&mutex_);
  ++counts_[method];
  const auto header = context.client_metadata().find("authorization");
  const std::string token =
      header == context.client_metadata().end() ? "" : std::string(header->second.data(), header->second.size());
  if (!tokens_.contains(token)) {
    return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kNotAuthenticated, "the token is not known");
  }
  return refusals_[method];
}

void FakeGateway::Begin(ChannelEnd* end, const v1::OpenChannelRequest& first) {
  std::shared_ptr<Splice> splice;
  {
    absl::MutexLock lock(&mutex_);
    if (own_answer_) return end->Play({own_answer_->begin(), own_answer_->end()}, then_end_);
    if (first.has_call()) {
      splice = std::make_shared<Splice>();
      splices_.push_back(splice);
      offers_.push_back({absl::StrCat(splices_.size() - 1), first.call().caller(), crypto::PublicKey()});
    } else {
      splice = splices_.at(std::stoul(first.accept().channel_id()));
    }
  }
  end->Join(std::move(splice), first.has_call());
}

grpc::ServerUnaryReactor* FakeGateway::Challenge(grpc::CallbackServerContext* context,
                                                 const v1::ChallengeRequest* request, v1::ChallengeResponse* response) {
  absl::MutexLock lock(&mutex_);
  const auto client = crypto::PublicKey::FromBytes(request->public_key());
  if (!client.ok()) return Answer(context, client.status());
  const auto challenge = challenger_.Begin(*client, request->client_nonce(), absl::Now());
  if (!challenge.ok()) return Answer(context, challenge.status());
  response->set_challenge_id(challenge->id);
  response->set_server_nonce(challenge->server_nonce);
  response->set_server_key(std::string(key_.public_key().bytes()));
  response->set_server_signature(forge_challenges_ ? std::string(64, 'x') : challenge->server_signature);
  return Answer(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* FakeGateway::Negotiate(grpc::CallbackServerContext* context, const v1::NegotiateRequest*,
                                                 v1::NegotiateResponse* response) {
  absl::MutexLock lock(&mutex_);
  ++counts_["Negotiate"];
  *response = spoken_;
  return Answer(context, refusals_["Negotiate"]);
}

grpc::ServerUnaryReactor* FakeGateway::Authenticate(grpc::CallbackServerContext* context,
                                                    const v1::AuthenticateRequest* request,
                                                    v1::AuthenticateResponse* response) {
  absl::MutexLock lock(&mutex_);
  ++counts_["Authenticate"];
  if (!refusals_["Authenticate"].ok()) return Answer(context, refusals_["Authenticate"]);
  const auto client = challenger_.Finish(request->challenge_id(), request->signature(), absl::Now());
  if (!client.ok()) return Answer(context, client.status());
  response->set_token(absl::StrCat("token-", counts_["Authenticate"]));
  tokens_.insert(absl::StrCat("Bearer ", response->token()));
  return Answer(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* FakeGateway::GetInfo(grpc::CallbackServerContext* context, const v1::GetInfoRequest*,
                                               v1::GetInfoResponse* response) {
  response->add_addresses("/ip4/192.0.2.1/tcp/4001");
  return Answer(context, Admit(*context, "GetInfo"));
}

grpc::ServerUnaryReactor* FakeGateway::Register(grpc::CallbackServerContext* context,
                                                const v1::RegisterRequest* request, v1::RegisterResponse* response) {
  const absl::Status admitted = Admit(*context, "Register");
  if (admitted.ok()) {
    AddRecord(request->record_json());
    absl::MutexLock lock(&mutex_);
    last_register_ = *request;
    response->add_stored_by("somebody");
    response->set_asked(1);
  }
  return Answer(context, admitted);
}

grpc::ServerUnaryReactor* FakeGateway::Resolve(grpc::CallbackServerContext* context, const v1::ResolveRequest* request,
                                               v1::ResolveResponse* response) {
  const absl::Status admitted = Admit(*context, "Resolve");
  if (!admitted.ok()) return Answer(context, admitted);
  absl::MutexLock lock(&mutex_);
  const auto found = records_.find(request->name());
  if (found == records_.end()) {
    return Answer(context, ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound, request->name()));
  }
  response->set_record_json(found->second);
  response->set_source("dht");
  response->set_owner(owner_);
  return Answer(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* FakeGateway::GetRotation(grpc::CallbackServerContext* context,
                                                   const v1::GetRotationRequest* request,
                                                   v1::GetRotationResponse* response) {
  const absl::Status admitted = Admit(*context, "GetRotation");
  if (!admitted.ok()) return Answer(context, admitted);
  absl::MutexLock lock(&mutex_);
  if (request->agent_id() != owner_ || rotation_chain_.empty()) {
    return Answer(context, ErrorWithReason(absl::StatusCode::kNotFound, reason::kNameNotFound, "no chain"));
  }
  response->set_rotation_chain(rotation_chain_);
  return Answer(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* FakeGateway::ListDeadLetters(grpc::CallbackServerContext* context,
                                                       const v1::ListDeadLettersRequest*,
                                                       v1::ListDeadLettersResponse* response) {
  absl::MutexLock lock(&mutex_);
  *response = dead_letters_;
  return Answer(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* FakeGateway::Send(grpc::CallbackServerContext* context, const v1::SendRequest* request,
                                            v1::SendResponse*) {
  const absl::Status admitted = Admit(*context, "Send");
  absl::MutexLock lock(&mutex_);
  last_send_ = *request;
  return Answer(context, admitted);
}

grpc::ServerUnaryReactor* FakeGateway::Request(grpc::CallbackServerContext* context, const v1::RequestRequest* request,
                                               v1::RequestResponse* response) {
  absl::Status status = Admit(*context, "Request");
  absl::MutexLock lock(&mutex_);
  if (status.ok() && answer_asks_) {
    v1::AskRequest ask;
    *ask.mutable_request() = *request;
    for (const v1::AskResponse& answer : answer_asks_(ask)) *response = answer.answered();
  }
  return Answer(context, status);
}

grpc::ServerBidiReactor<v1::AskRequest, v1::AskResponse>* FakeGateway::Ask(grpc::CallbackServerContext* context) {
  return new AskStream(*this, Admit(*context, "Ask"));  // deleted in OnDone
}

grpc::ServerBidiReactor<v1::InboxRequest, v1::InboxResponse>* FakeGateway::Inbox(grpc::CallbackServerContext* context) {
  return new InboxStream(*this, Admit(*context, "Inbox"));
}

grpc::ServerBidiReactor<v1::OpenChannelRequest, v1::OpenChannelResponse>* FakeGateway::OpenChannel(
    grpc::CallbackServerContext* context) {
  return new ChannelEnd(*this, Admit(*context, "OpenChannel"));
}

void FakeGateway::SetSubscription(std::vector<v1::SubscribeResponse> answers, const absl::Status& end) {
  absl::MutexLock lock(&mutex_);
  subscription_ = std::move(answers);
  subscription_end_ = end;
}

grpc::ServerWriteReactor<v1::SubscribeResponse>* FakeGateway::Subscribe(grpc::CallbackServerContext* context,
                                                                        const v1::SubscribeRequest* request) {
  const absl::Status admitted = Admit(*context, "Subscribe");
  absl::MutexLock lock(&mutex_);
  last_subscribe_ = *request;
  if (!admitted.ok()) return new SubscribeStream({}, admitted);  // deletes itself
  return new SubscribeStream(subscription_, subscription_end_);  // likewise
}

}  // namespace dotagent::sdk
