#include "tests/bench/revoke.h"

#include <arpa/inet.h>
#include <grpcpp/client_context.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/identity/certificate.h"
#include "common/identity/revocation.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "dotagent/identity/v1/identity.grpc.pb.h"
#include "tests/bench/drive.h"
#include "tests/bench/gateway_link.h"
#include "tests/bench/live_agent.h"
#include "tests/bench/resolver_client.h"
#include "tests/bench/service_process.h"
#include "tests/bench/temporary_folder.h"

namespace dotagent::bench {
namespace {

constexpr size_t kGateways = 2;
constexpr size_t kAgentsOfALink = 100;  // so that a connection has room for each one's calls
constexpr size_t kInFlight = 32;
constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr double kGoalMs = 1000;
constexpr char kHost[] = "127.0.0.1";

void Say(const std::string& what) { std::cerr << what << std::endl; }

// A port that nothing listens on. Resolvers want identity's address, and identity theirs: one has to be known before.
absl::StatusOr<uint16_t> FreePort() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = socket >= 0 && bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                     getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  if (socket >= 0) close(socket);
  if (!bound) return absl::UnavailableError("no port is free");
  return ntohs(address.sin_port);
}

// Of one revocation, in milliseconds.
struct Refusal {
  double acknowledged = 0;  // from the call's begin to its answer
  double sessions = 0;      // from the call's begin to the last session's end
  double resolvers = 0;     // from the call's begin to the last resolver's first refusal
};

class Bench {
 public:
  explicit Bench(const RevokeOptions& options) : options_(options) {}

  // Each step logs what it does; a network that does not come up ends the benchmark.
  [[nodiscard]] absl::Status Start() {
    Say(absl::StrCat("starting ", options_.resolvers, " resolvers, identity and ", kGateways, " gateways"));
    ASSIGN_OR_RETURN(const uint16_t port, FreePort());
    const std::string identity = absl::StrCat(kHost, ":", port);
    for (size_t i = 0; i < options_.resolvers; ++i) {
      std::vector<std::string> arguments = {"--identity", identity};
      if (i > 0) arguments.insert(arguments.end(), {"--bootstrap", services_[0].p2p});
      ASSIGN_OR_RETURN(services_.emplace_back(), StartService(options_.programs, "resolver",
                                                              folder_.Path(absl::StrCat("r", i)), kHost, arguments));
    }
    ASSIGN_OR_RETURN(services_.emplace_back(),
                     StartService(options_.programs, "identity", folder_.Path("identity"), kHost,
                                  {"--grpc-listen", identity, "--resolver", services_[0].grpc}));
    for (size_t i = 0; i < kGateways; ++i) {
      ASSIGN_OR_RETURN(services_.emplace_back(),
                       StartService(options_.programs, "gateway", folder_.Path(absl::StrCat("g", i)), kHost,
                                    {"--resolver", services_[i % options_.resolvers].grpc, "--identity", identity}));
      gateways_.push_back(services_.back().grpc);
    }
    ASSIGN_OR_RETURN(certificate_,
                     identity::MakeNodeCertificate(crypto::SigningKey::Generate(random_), {}, absl::Now()));
    for (size_t i = 0; i < options_.resolvers; ++i) {
      ASSIGN_OR_RETURN(resolvers_.emplace_back(), ResolverClient::Connect(services_[i].grpc, certificate_));
    }
    ASSIGN_OR_RETURN(identity_channel_, rpc::NewChannel(identity, {.certificate = &certificate_}));
    identity_ = identity::v1::IdentityService::NewStub(identity_channel_->grpc());
    return Populate();
  }

  // Revokes agent `index`'s key and waits until nobody takes it for good any more.
  [[nodiscard]] absl::StatusOr<Refusal> Revoke(size_t index) {
    LiveAgent& agent = *agents_[index];
    identity::v1::RevokeRequest request;
    ASSIGN_OR_RETURN(*request.mutable_statement(), identity::SignRevocation(agent.key(), "measured", absl::Now()));
    std::vector<absl::StatusOr<absl::Time>> refused(resolvers_.size(), absl::UnknownError("not asked"));
    const absl::Time began = absl::Now();
    std::vector<std::thread> askers;
    for (size_t i = 0; i < resolvers_.size(); ++i) {
      askers.emplace_back([&, i] { refused[i] = AwaitRefusal(*resolvers_[i], agent.name()); });
    }
    const absl::Status taken = Tell(request);
    const absl::Time acknowledged = absl::Now();
    const absl::StatusOr<absl::Time> ended = agent.AwaitRevoked(kPatience);
    for (std::thread& asker : askers) asker.join();
    RETURN_IF_ERROR(taken);
    RETURN_IF_ERROR(ended.status());
    absl::Time last = began;
    for (const absl::StatusOr<absl::Time>& time : refused) {
      RETURN_IF_ERROR(time.status());
      last = std::max(last, *time);
    }
    RETURN_IF_ERROR(CheckShutOut(index));
    return Refusal{.acknowledged = absl::ToDoubleMilliseconds(acknowledged - began),
                   .sessions = absl::ToDoubleMilliseconds(*ended - began),
                   .resolvers = absl::ToDoubleMilliseconds(last - began)};
  }

  // The keys of agents first … first + count - 1, all at once: from the first call to the end of the last session.
  [[nodiscard]] absl::StatusOr<double> RevokeTogether(const std::vector<size_t>& indices) {
    std::vector<identity::v1::RevokeRequest> requests(indices.size());
    for (size_t i = 0; i < indices.size(); ++i) {
      ASSIGN_OR_RETURN(*requests[i].mutable_statement(),
                       identity::SignRevocation(agents_[indices[i]]->key(), "measured", absl::Now()));
    }
    const absl::Time began = absl::Now();
    std::vector<std::thread> callers;
    std::vector<absl::Status> taken(kInFlight);
    for (size_t caller = 0; caller < kInFlight; ++caller) {
      callers.emplace_back([&, caller] {
        for (size_t i = caller; i < requests.size() && taken[caller].ok(); i += kInFlight) {
          taken[caller] = Tell(requests[i]);
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
    for (const absl::Status& status : taken) RETURN_IF_ERROR(status);
    absl::Time last = began;
    for (const size_t index : indices) {
      ASSIGN_OR_RETURN(const absl::Time ended, agents_[index]->AwaitRevoked(kPatience));
      last = std::max(last, ended);
    }
    return absl::ToDoubleMilliseconds(last - began);
  }

 private:
  [[nodiscard]] GatewayLink& LinkOf(size_t agent, size_t gateway) const {
    return *links_[gateway][agent / kAgentsOfALink];
  }
  [[nodiscard]] static size_t HomeOf(size_t agent) { return agent % kGateways; }

  // Every agent of its own name and key, known at both gateways, and listening there; of those that will be revoked
  // each has a channel to one that will not.
  [[nodiscard]] absl::Status Populate() {
    std::vector<std::vector<std::string>> addresses;
    for (const std::string& gateway : gateways_) {
      auto& links = links_.emplace_back();
      for (size_t i = 0; i < options_.agents; i += kAgentsOfALink) {
        ASSIGN_OR_RETURN(links.emplace_back(), GatewayLink::Connect(gateway));
      }
      ASSIGN_OR_RETURN(addresses.emplace_back(), AddressesOf(*links[0]));
    }
    for (size_t i = 0; i < options_.agents; ++i) {
      agents_.push_back(std::make_unique<LiveAgent>(absl::StrCat("agent-", i, ".bench.agent"),
                                                    crypto::SigningKey::Generate(random_)));
    }
    for (size_t other = 0; other < kGateways; ++other) {  // its home first
      RETURN_IF_ERROR(ForAll("proving keys", agents_.size(), [&](size_t i, LiveAgent::Done done) {
        agents_[i]->Authenticate(LinkOf(i, (HomeOf(i) + other) % kGateways), std::move(done));
      }));
    }
    RETURN_IF_ERROR(ForAll("registering names", agents_.size(), [&](size_t i, LiveAgent::Done done) {
      agents_[i]->Register(addresses[HomeOf(i)], std::move(done));
    }));
    for (size_t link = 0; link < kGateways; ++link) {
      RETURN_IF_ERROR(ForAll("opening inboxes", agents_.size(),
                             [&](size_t i, LiveAgent::Done done) { agents_[i]->OpenInbox(link, std::move(done)); }));
    }
    return ForAll("opening channels", 2 * options_.revocations, [&](size_t pair, LiveAgent::Done done) {
      // The one to be revoked calls, or is called.
      LiveAgent& first = *agents_[2 * pair];
      LiveAgent& second = *agents_[2 * pair + 1];
      pair % 2 == 0 ? first.Call(second, std::move(done)) : second.Call(first, std::move(done));
    });
  }

  [[nodiscard]] static absl::Status ForAll(const std::string& what, size_t count, const StartOperation& start) {
    Say(what);
    const Timing timing = Drive(0, count, kInFlight, start);
    if (timing.failed == 0) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat(what, ": ", timing.failed, " of ", count, " failed"));
  }

  [[nodiscard]] static absl::StatusOr<std::vector<std::string>> AddressesOf(GatewayLink& link) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    gateway::v1::GetInfoResponse info;
    RETURN_IF_ERROR(rpc::FromGrpc(link.stub().GetInfo(&context, {}, &info)));
    return std::vector<std::string>(info.addresses().begin(), info.addresses().end());
  }

  [[nodiscard]] absl::Status Tell(const identity::v1::RevokeRequest& request) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    identity::v1::RevokeResponse response;
    return rpc::FromGrpc(identity_->Revoke(&context, request, &response));
  }

  // Asks again and again; the time at which the answer was that the key is revoked.
  [[nodiscard]] static absl::StatusOr<absl::Time> AwaitRefusal(ResolverClient& resolver, const std::string& name) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (absl::Now() < deadline) {
      const absl::Status status = resolver.Ask(name);
      if (ReasonOf(status) == reason::kKeyRevoked) return absl::Now();
      RETURN_IF_ERROR(status);
    }
    return absl::DeadlineExceededError(absl::StrCat("a resolver hands out ", name, " after its revocation"));
  }

  // No gateway lets the key in again.
  [[nodiscard]] absl::Status CheckShutOut(size_t index) {
    for (size_t gateway = 0; gateway < kGateways; ++gateway) {
      const absl::StatusOr<std::string> token = [&] {
        absl::Mutex mutex;
        std::optional<absl::StatusOr<std::string>> answer;
        LinkOf(index, gateway).Authenticate(agents_[index]->key(), [&](absl::StatusOr<std::string> told) {
          const absl::MutexLock lock(&mutex);
          answer = std::move(told);
        });
        const absl::MutexLock lock(&mutex);
        const auto answered = [&] { return answer.has_value(); };
        mutex.Await(absl::Condition(&answered));  // its calls have deadlines
        return *answer;
      }();
      if (ReasonOf(token.status()) != reason::kKeyRevoked) {
        return absl::InternalError("a gateway let a revoked key in again");
      }
    }
    return absl::OkStatus();
  }

  const RevokeOptions options_;
  const TemporaryFolder folder_;
  SystemRandom random_;
  identity::NodeCertificate certificate_;
  std::vector<std::unique_ptr<LiveAgent>> agents_;                // go after the services have ended their calls
  std::vector<std::vector<std::unique_ptr<GatewayLink>>> links_;  // by gateway
  std::vector<std::unique_ptr<ResolverClient>> resolvers_;
  std::unique_ptr<rpc::Channel> identity_channel_;
  std::unique_ptr<identity::v1::IdentityService::Stub> identity_;
  std::vector<std::string> gateways_;  // addresses
  std::vector<RunningService> services_;
};

void AddRow(const std::string& what, double figure, std::optional<double> at_most, Report& report) {
  report.Add({.what = what, .unit = "ms", .ours = {figure}, .at_most = at_most});
}

}  // namespace

absl::Status MeasureRevocation(const RevokeOptions& options, Report& report) {
  Bench bench(options);
  RETURN_IF_ERROR(bench.Start());
  std::vector<double> acknowledged;
  std::vector<double> sessions;
  std::vector<double> resolvers;
  std::vector<double> everyone_after_answer;
  Say("revoking one key after another");
  for (size_t i = 0; i < options.revocations; ++i) {
    ASSIGN_OR_RETURN(const Refusal refusal, bench.Revoke(2 * i));
    acknowledged.push_back(refusal.acknowledged);
    sessions.push_back(refusal.sessions);
    resolvers.push_back(refusal.resolvers);
    everyone_after_answer.push_back(
        std::max(0.0, std::max(refusal.sessions, refusal.resolvers) - refusal.acknowledged));
  }
  Say("revoking as many at once");
  std::vector<size_t> rest;
  for (size_t i = 0; i < options.revocations; ++i) rest.push_back(2 * (options.revocations + i));
  ASSIGN_OR_RETURN(const double together, bench.RevokeTogether(rest));

  AddRow("revocation told to identity, until its answer, p50", Median(acknowledged), {}, report);
  AddRow("until the key's sessions at both gateways and its channel have ended, p50", Median(sessions), {}, report);
  AddRow("the same, p99", Quantile(sessions, 0.99), kGoalMs, report);
  AddRow("until every resolver refuses its name, p50", Median(resolvers), {}, report);
  AddRow("the same, p99", Quantile(resolvers, 0.99), kGoalMs, report);
  AddRow("from identity's answer until all of them refuse it, p50", Median(everyone_after_answer), {}, report);
  AddRow("the same, p99", Quantile(everyone_after_answer, 0.99), kGoalMs, report);
  AddRow(absl::StrCat(options.revocations, " keys at once, until the last of their sessions has ended"), together, {},
         report);
  report.Note(absl::StrCat(options.resolvers, " resolvers, ", kGateways, " gateways, identity; ", options.agents,
                           " agents with an Inbox open at each gateway and ", 2 * options.revocations,
                           " channels across them; ", options.revocations,
                           " keys revoked one after another. Times run from the call unless they say otherwise. "
                           "Resolvers are asked for the name again as soon as they have answered."));
  return absl::OkStatus();
}

}  // namespace dotagent::bench
