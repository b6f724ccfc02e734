#include "tests/bench/idle.h"

#include <grpcpp/client_context.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/rpc/status.h"
#include "tests/bench/drive.h"
#include "tests/bench/gateway_link.h"
#include "tests/bench/live_agent.h"
#include "tests/bench/resolver_client.h"
#include "tests/bench/service_process.h"
#include "tests/bench/temporary_folder.h"

namespace dotagent::bench {
namespace {

constexpr size_t kInFlight = 32;
constexpr size_t kBatch = 1'000;
constexpr double kGoalGiB = 2;

void Say(const std::string& what) { std::cerr << what << std::endl; }

// What the process has of memory now.
absl::StatusOr<double> ResidentBytes(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(file, line);) {
    if (!absl::StartsWith(line, "VmRSS:")) continue;
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    double kib = 0;
    if (words.size() == 3 && absl::SimpleAtod(words[1], &kib)) return kib * 1024;
  }
  return absl::UnavailableError(absl::StrCat("no VmRSS of process ", pid));
}

// A connection is a file, here and at the gateway, which inherits the limit.
absl::Status AllowFiles(size_t agents) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t wanted = agents + 1'000;
  if (limit.rlim_cur >= wanted) return absl::OkStatus();
  limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == wanted) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("a process may open ", limit.rlim_max, " files here; ", agents, " agents need ", wanted));
}

class Idle {
 public:
  explicit Idle(const IdleOptions& options) : options_(options) {}
  ~Idle() { gateway_ = {}; }  // which ends the inboxes, and those their agents

  [[nodiscard]] absl::Status Start() {
    RETURN_IF_ERROR(AllowFiles(options_.agents));
    ASSIGN_OR_RETURN(resolver_, StartResolver(options_.programs, folder_.Path("resolver"), "127.0.0.1", ""));
    ASSIGN_OR_RETURN(gateway_, StartService(options_.programs, "gateway", folder_.Path("gateway"), "127.0.0.1",
                                            {"--resolver", resolver_.grpc}));
    ASSIGN_OR_RETURN(const auto link, GatewayLink::Connect(gateway_.grpc));
    grpc::ClientContext context;
    gateway::v1::GetInfoResponse info;
    RETURN_IF_ERROR(rpc::FromGrpc(link->stub().GetInfo(&context, {}, &info)));
    addresses_ = {info.addresses().begin(), info.addresses().end()};
    return absl::OkStatus();
  }

  [[nodiscard]] absl::StatusOr<double> GatewayBytes() const { return ResidentBytes(gateway_.process->pid()); }

  // Connects `count` more, and opens their inboxes.
  [[nodiscard]] absl::Status Connect(size_t count) {
    const size_t first = agents_.size();
    for (size_t i = 0; i < count; ++i) {
      ASSIGN_OR_RETURN(links_.emplace_back(), GatewayLink::Connect(gateway_.grpc));
      agents_.push_back(std::make_unique<LiveAgent>(absl::StrCat("agent-", first + i, ".idle.agent"),
                                                    crypto::SigningKey::Generate(random_)));
    }
    const auto for_all = [&](const std::string& what,
                             const std::function<void(size_t, std::function<void(bool)>)>& act) -> absl::Status {
      const Timing timing = Drive(first, count, kInFlight, act);
      if (timing.failed == 0) return absl::OkStatus();
      return absl::UnavailableError(absl::StrCat(timing.failed, " of ", count, " agents could not ", what));
    };
    RETURN_IF_ERROR(for_all("authenticate", [this](size_t i, std::function<void(bool)> done) {
      agents_[i]->Authenticate(*links_[i], std::move(done));
    }));
    RETURN_IF_ERROR(for_all("register", [this](size_t i, std::function<void(bool)> done) {
      agents_[i]->Register(addresses_, std::move(done));
    }));
    RETURN_IF_ERROR(for_all("open their inboxes", [this](size_t i, std::function<void(bool)> done) {
      agents_[i]->OpenInbox(0, std::move(done));
    }));
    for (size_t i = first; i < first + count; ++i) agents_[i]->ForgetKey();
    return absl::OkStatus();
  }

 private:
  const IdleOptions options_;
  const TemporaryFolder folder_;
  SystemRandom random_;
  RunningService resolver_;
  std::vector<std::string> addresses_;
  std::vector<std::unique_ptr<GatewayLink>> links_;
  std::vector<std::unique_ptr<LiveAgent>> agents_;
  RunningService gateway_;
};

}  // namespace

absl::Status MeasureIdle(const IdleOptions& options, Report& report) {
  Idle idle(options);
  RETURN_IF_ERROR(idle.Start());
  ASSIGN_OR_RETURN(const double before, idle.GatewayBytes());
  for (size_t connected = 0; connected < options.agents;) {
    const size_t count = std::min(kBatch, options.agents - connected);
    RETURN_IF_ERROR(idle.Connect(count));
    connected += count;
    ASSIGN_OR_RETURN(const double now, idle.GatewayBytes());
    Say(absl::StrCat(connected, " agents, ", static_cast<int64_t>(now / (1 << 20)), " MiB"));
  }
  ASSIGN_OR_RETURN(const double after, idle.GatewayBytes());
  report.Add({.what = absl::StrCat("memory of a gateway with ", options.agents, " idle agents"),
              .unit = "GiB",
              .ours = {after / (1 << 30)},
              .at_most = kGoalGiB});
  report.Add({.what = "of that, an agent's",
              .unit = "KB",
              .ours = {(after - before) / 1000 / static_cast<double>(options.agents)}});
  report.Note(
      "Each agent has a TLS connection of its own, has proved its key, registered a name and opened its inbox; the "
      "memory is what the gateway's process has resident right after the last of them.");
  return absl::OkStatus();
}

}  // namespace dotagent::bench
