#include "tests/bench/service_process.h"

#include <poll.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"

namespace dotagent::bench {
namespace {
constexpr absl::Duration kStartTime = absl::Seconds(60);
}  // namespace

absl::StatusOr<RunningService> StartService(const std::string& programs, const std::string& service,
                                            const std::string& data_dir, const std::string& host,
                                            const std::vector<std::string>& options) {
  const std::string ready_file = data_dir + ".ready";
  std::vector<std::string> command = {absl::StrCat(programs, "/dotagent-", service),
                                      "--data-dir",
                                      data_dir,
                                      "--ready-file",
                                      ready_file,
                                      "--p2p-listen",
                                      absl::StrCat("/ip4/", host, "/tcp/0"),
                                      "--log-level",
                                      "error"};
  // What one agent or address may do is bounded, but beyond what is measured here.
  if (service == "gateway") {
    for (const char* const limit : {"agent-rate", "agent-burst", "gateway-rate", "gateway-burst", "address-rate",
                                    "address-burst", "max-recipients"}) {
      command.push_back(absl::StrCat("--", limit, "=1000000"));
    }
    // What is measured is how much it can do, not when it begins to refuse.
    command.emplace_back("--overload-target=0s");
  }
  command.insert(command.end(), options.begin(), options.end());
  RunningService running;
  ASSIGN_OR_RETURN(running.process, Process::Start(command));
  const absl::Time deadline = absl::Now() + kStartTime;
  std::ifstream file(ready_file);
  while (!file.is_open()) {
    if (!running.process->Running() || absl::Now() > deadline) {
      return absl::UnavailableError(absl::StrCat(command[0], " did not start"));
    }
    poll(nullptr, 0, 10);
    file.open(ready_file);
  }
  const auto ready = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!ready.is_object()) return absl::InternalError(absl::StrCat(ready_file, " is no JSON object"));
  running.grpc = ready.value("grpc", "");
  running.http = ready.value("http", "");
  running.peer_id = ready.value("peer_id", "");
  for (const auto& address : ready.value("p2p", nlohmann::json::array())) {
    if (running.p2p.empty()) running.p2p = address;
  }
  return running;
}

}  // namespace dotagent::bench
