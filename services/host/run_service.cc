// The main() of every service.
#include <pthread.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/crypto/tpm.h"
#include "common/telemetry/log.h"
#include "services/host/host.h"

namespace dotagent::host {
namespace {

absl::Status InitLog(const std::string& service, const HostOptions& options) {
  ASSIGN_OR_RETURN(const telemetry::Level level, telemetry::ParseLevel(options.log_level));
  if (options.log_format != "json" && options.log_format != "text") {
    return absl::InvalidArgumentError(absl::StrCat("--log-format ", options.log_format, " is neither json nor text"));
  }
  telemetry::InitLog(
      {.service = service,
       .level = level,
       .format = options.log_format == "json" ? telemetry::LogFormat::kJson : telemetry::LogFormat::kText});
  return absl::OkStatus();
}

int Fail(const std::string& service, const absl::Status& status, int exit_status) {
  std::fprintf(stderr, "dotagent-%s: %s\n", service.c_str(), std::string(status.message()).c_str());
  return exit_status;
}

}  // namespace

int RunService(int argc, char** argv, const std::string& service, const std::string& description, HostOptions& options,
               const std::function<void(OptionTable&)>& add,
               const std::function<absl::StatusOr<std::unique_ptr<Service>>()>& start) {
  crypto::SilenceTpmLibrary();
  // Debian's Abseil is built with its debugging aid on: a graph of all locks, which gRPC takes by the dozen for a call.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  OptionTable table(absl::StrCat("dotagent-", service), description);
  options.AddTo(table);
  add(table);
  const absl::StatusOr<bool> go_on = table.Parse(argc, argv);
  if (!go_on.ok()) return Fail(service, go_on.status(), 2);
  if (!*go_on) return 0;
  const absl::Status log = InitLog(service, options);
  if (!log.ok()) return Fail(service, log, 2);

  // Blocked before there are threads, so that all of them leave the signals to sigwait.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  absl::StatusOr<std::unique_ptr<Service>> running = start();
  if (!running.ok()) return Fail(service, running.status(), absl::IsInvalidArgument(running.status()) ? 2 : 1);
  telemetry::Log(telemetry::Level::kInfo, "serving",
                 {{"grpc", (*running)->host().grpc_address()}, {"http", (*running)->host().http_address()}});

  int received = 0;
  sigwait(&signals, &received);
  telemetry::Log(telemetry::Level::kInfo, "draining",
                 {{"signal", absl::StrCat(received)}, {"grace", absl::FormatDuration(options.drain_grace)}});
  // A second signal ends the process at once, as its sender wants.
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  running->reset();
  telemetry::Log(telemetry::Level::kInfo, "stopped");
  return 0;
}

}  // namespace dotagent::host
