#include "tests/bench/fan_out.h"

#include <grpcpp/client_context.h>

#include <atomic>
#include <functional>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/record/message.h"
#include "common/record/record.h"
#include "common/record/topic.h"
#include "common/rpc/status.h"
#include "tests/bench/drive.h"
#include "tests/bench/gateway_link.h"
#include "tests/bench/nats_fan_out.h"
#include "tests/bench/progress.h"
#include "tests/bench/resolver_client.h"
#include "tests/bench/service_process.h"
#include "tests/bench/temporary_folder.h"

namespace dotagent::bench {
namespace {

namespace v1 = ::dotagent::gateway::v1;

constexpr double kGoal = 100'000;  // deliveries a second
constexpr size_t kWindow = 512;    // publications that the subscribers may be behind, so that none is missed
constexpr size_t kInFlight = 64;   // publications that are not confirmed
constexpr size_t kSetupInFlight = 32;
constexpr char kPublisher[] = "publisher.agent";
constexpr char kTopic[] = "prices.eu";

void Say(const std::string& what) { std::cerr << what << std::endl; }

// Counts what comes; read, parsed and not verified.
class Subscriber : public grpc::ClientReadReactor<v1::SubscribeResponse> {
 public:
  struct Counts {
    Progress ready{"subscriptions that are open"};
    Progress delivered{"deliveries"};
    Progress missed{"publications missed"};
    Progress ended{"subscriptions that have ended"};
  };
  explicit Subscriber(Counts& counts) : counts_(counts) {}

  void Start(v1::GatewayService::Stub& stub, const std::string& token, std::string request) {
    context_.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    request_.set_message_json(std::move(request));
    stub.async()->Subscribe(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    uint64_t delivered = 0;
    for (const v1::SubscribeEvent& event : response_.events()) {
      if (event.has_publication()) ++delivered;
      if (event.has_ready()) counts_.ready.Add(1);
      if (event.has_missed()) counts_.missed.Add(event.missed().count());
    }
    counts_.delivered.Add(delivered);
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    if (status.error_code() != grpc::StatusCode::CANCELLED) Say(rpc::FromGrpc(status).ToString());
    counts_.ended.Add(1);
  }

 private:
  Counts& counts_;
  grpc::ClientContext context_;
  v1::SubscribeRequest request_;
  v1::SubscribeResponse response_;
};

struct Agent {
  std::string name;
  crypto::SigningKey key;
  GatewayLink* link = nullptr;
  std::string token = {};
};

class FanOut {
 public:
  explicit FanOut(const FanOutOptions& options) : options_(options) {}
  ~FanOut() {
    for (const auto& subscriber : subscribers_) subscriber->Cancel();
    static_cast<void>(counts_.ended.AwaitAtLeast(subscribers_.size()));
  }

  [[nodiscard]] absl::Status Start() {
    ASSIGN_OR_RETURN(resolver_, StartResolver(options_.programs, folder_.Path("resolver"), "127.0.0.1", ""));
    ASSIGN_OR_RETURN(gateway_, StartService(options_.programs, "gateway", folder_.Path("gateway"), "127.0.0.1",
                                            {"--resolver", resolver_.grpc}));
    // The publisher's is the last.
    for (size_t i = 0; i <= options_.connections; ++i) {
      ASSIGN_OR_RETURN(links_.emplace_back(), GatewayLink::Connect(gateway_.grpc));
    }
    v1::GetInfoResponse info;
    grpc::ClientContext context;
    RETURN_IF_ERROR(rpc::FromGrpc(links_[0]->stub().GetInfo(&context, v1::GetInfoRequest(), &info)));
    addresses_.assign(info.addresses().begin(), info.addresses().end());
    for (size_t i = 0; i < options_.subscribers; ++i) {
      agents_.push_back({absl::StrCat("s", i, ".agent"), crypto::SigningKey::Generate(random_),
                         links_[i % options_.connections].get()});
    }
    agents_.push_back({kPublisher, crypto::SigningKey::Generate(random_), links_.back().get()});
    RETURN_IF_ERROR(ForAll("authenticate", [this](Agent& agent, auto done) { Authenticate(agent, std::move(done)); }));
    RETURN_IF_ERROR(ForAll("register", [this](Agent& agent, auto done) { Register(agent, std::move(done)); }));
    return Subscribe();
  }

  // Deliveries a second.
  [[nodiscard]] absl::StatusOr<double> Run() {
    std::vector<std::string> signed_messages;
    for (size_t i = 0; i < options_.publications; ++i) {
      ASSIGN_OR_RETURN(signed_messages.emplace_back(), SignPublication());
    }
    const uint64_t before = counts_.delivered.value();
    const uint64_t answered = published_.value();
    const uint64_t subscribers = options_.subscribers;
    const absl::Time from = absl::Now();
    for (size_t i = 0; i < signed_messages.size(); ++i) {
      if (i >= kInFlight) RETURN_IF_ERROR(published_.AwaitAtLeast(answered + i - kInFlight));
      if (i >= kWindow) RETURN_IF_ERROR(counts_.delivered.AwaitAtLeast(before + (i - kWindow) * subscribers));
      Publish(std::move(signed_messages[i]));
    }
    RETURN_IF_ERROR(published_.AwaitAtLeast(answered + signed_messages.size()));
    if (failed_ > 0) return absl::UnavailableError(absl::StrCat(failed_.load(), " publications were refused"));
    const uint64_t all = options_.publications * subscribers;
    RETURN_IF_ERROR(WithContext(counts_.delivered.AwaitAtLeast(before + all),
                                absl::StrCat(counts_.missed.value(), " were missed")));
    return static_cast<double>(all) / absl::ToDoubleSeconds(absl::Now() - from);
  }

 private:
  template <typename Act>
  [[nodiscard]] absl::Status ForAll(const std::string& what, Act act) {
    const Timing timing = Drive(0, agents_.size(), kSetupInFlight,
                                [&](size_t i, std::function<void(bool)> done) { act(agents_[i], std::move(done)); });
    if (timing.failed == 0) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat(timing.failed, " agents could not ", what));
  }

  void Authenticate(Agent& agent, std::function<void(bool)> done) {
    agent.link->Authenticate(agent.key, [&agent, done = std::move(done)](absl::StatusOr<std::string> token) {
      if (token.ok()) agent.token = *std::move(token);
      done(token.ok());
    });
  }

  void Register(Agent& agent, std::function<void(bool)> done) {
    struct Unary {
      grpc::ClientContext context;
      v1::RegisterRequest request;
      v1::RegisterResponse response;
    };
    const auto call = std::make_shared<Unary>();
    call->context.AddMetadata("authorization", absl::StrCat("Bearer ", agent.token));
    const auto record = record::Record::Sign(
        {.name = agent.name, .addresses = addresses_, .protocols = {}, .timestamp = absl::Now()}, agent.key);
    if (!record.ok()) return done(false);
    call->request.set_record_json(record->json());
    agent.link->stub().async()->Register(
        &call->context, &call->request, &call->response,
        [call, done = std::move(done)](const grpc::Status& status) { done(status.ok()); });
  }

  [[nodiscard]] absl::Status Subscribe() {
    ASSIGN_OR_RETURN(const record::TopicPattern pattern, record::TopicPattern::Parse("prices.>"));
    for (size_t i = 0; i < options_.subscribers; ++i) {
      const Agent& agent = agents_[i];
      ASSIGN_OR_RETURN(const record::Message request,
                       record::Message::Sign({.id = record::NewMessageId(random_),
                                              .type = record::MessageType::kRequest,
                                              .sender = agent.name,
                                              .recipient = kPublisher,
                                              .timestamp = absl::Now(),
                                              .content = record::SubscriptionContent(pattern)},
                                             agent.key));
      subscribers_.push_back(std::make_unique<Subscriber>(counts_));
      subscribers_.back()->Start(agent.link->stub(), agent.token, request.json());
    }
    return counts_.ready.AwaitAtLeast(options_.subscribers);
  }

  [[nodiscard]] absl::StatusOr<std::string> SignPublication() {
    const Agent& publisher = agents_.back();
    ASSIGN_OR_RETURN(const record::Topic topic, record::Topic::Parse(kTopic));
    ASSIGN_OR_RETURN(record::Json content,
                     record::PublicationContent(topic, {{"text", std::string(options_.payload, 'x')}}));
    ASSIGN_OR_RETURN(const record::Message message, record::Message::Sign({.id = record::NewMessageId(random_),
                                                                           .sender = kPublisher,
                                                                           .recipient = kPublisher,
                                                                           .timestamp = absl::Now(),
                                                                           .content = std::move(content)},
                                                                          publisher.key));
    return message.json();
  }

  void Publish(std::string json) {
    struct Unary {
      grpc::ClientContext context;
      v1::PublishRequest request;
      v1::PublishResponse response;
    };
    const auto call = std::make_shared<Unary>();
    call->context.AddMetadata("authorization", absl::StrCat("Bearer ", agents_.back().token));
    call->request.set_message_json(std::move(json));
    links_.back()->stub().async()->Publish(&call->context, &call->request, &call->response,
                                           [this, call](const grpc::Status& status) {
                                             if (!status.ok()) ++failed_;
                                             published_.Add(1);
                                           });
  }

  const FanOutOptions options_;
  const TemporaryFolder folder_;
  RunningService resolver_;
  RunningService gateway_;
  SystemRandom random_;
  std::vector<std::unique_ptr<GatewayLink>> links_;
  std::vector<std::string> addresses_;
  std::vector<Agent> agents_;
  Subscriber::Counts counts_;
  std::vector<std::unique_ptr<Subscriber>> subscribers_;
  Progress published_{"publications confirmed"};
  std::atomic<size_t> failed_ = 0;
};

absl::StatusOr<double> RunNats(NatsFanOut& nats, const FanOutOptions& options) {
  const uint64_t before = nats.delivered().value();
  const absl::Time from = absl::Now();
  for (size_t i = 0; i < options.publications; ++i) {
    if (i >= kWindow) {
      RETURN_IF_ERROR(nats.delivered().AwaitAtLeast(before + (i - kWindow) * options.subscribers));
    }
    RETURN_IF_ERROR(nats.Publish(options.payload));
  }
  const uint64_t all = options.publications * options.subscribers;
  RETURN_IF_ERROR(nats.delivered().AwaitAtLeast(before + all));
  return static_cast<double>(all) / absl::ToDoubleSeconds(absl::Now() - from);
}

}  // namespace

absl::Status MeasureFanOut(const FanOutOptions& options, Report& report) {
  FanOut ours(options);
  RETURN_IF_ERROR(ours.Start());
  auto nats = NatsFanOut::Start(options.subscribers, options.connections);
  if (!nats.ok() && !absl::IsNotFound(nats.status())) return nats.status();
  Row rate{.what = absl::StrCat("fan-out 1 to ", options.subscribers, " subscribers, ", options.payload,
                                " B, signed, deliveries"),
           .unit = "a second",
           .at_least = kGoal};
  Row beside{.what = "the same, beside nats-server without TLS and signatures",
             .unit = "a second",
             .peer_name = "nats-server"};
  for (size_t i = 0; i <= options.repetitions; ++i) {
    Say(i == 0 ? "warm-up" : absl::StrCat("repetition ", i));
    ASSIGN_OR_RETURN(const double delivered, ours.Run());
    double peers = 0;
    if (nats.ok()) {
      ASSIGN_OR_RETURN(peers, RunNats(**nats, options));
    }
    if (i == 0) continue;
    rate.ours.push_back(delivered);
    if (!nats.ok()) continue;
    beside.ours.push_back(delivered);
    beside.peers.push_back(peers);
  }
  report.Add(std::move(rate));
  if (nats.ok()) {
    report.Add(std::move(beside));
  } else {
    report.Note(std::string(nats.status().message()));
  }
  report.Note(absl::StrCat(
      "Each publication is signed, and verified at the gateway; its subscribers, agents of their own over ",
      options.connections,
      " TLS connections, parse it and do not verify it. Gateway and subscribers share the machine's cores. The "
      "publisher "
      "is at most ",
      kWindow, " publications ahead of its subscribers, so that none is missed."));
  return absl::OkStatus();
}

}  // namespace dotagent::bench
