// dotagent-bench: measures dotagent beside what it competes with, in one run.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "tests/bench/authenticate.h"
#include "tests/bench/certificates.h"
#include "tests/bench/fan_out.h"
#include "tests/bench/flood.h"
#include "tests/bench/idle.h"
#include "tests/bench/messages.h"
#include "tests/bench/private_network.h"
#include "tests/bench/report.h"
#include "tests/bench/resolve.h"
#include "tests/bench/revoke.h"
#include "tests/bench/session_cost.h"
#include "tests/bench/talk.h"
#include "tests/bench/token_cost.h"

namespace dotagent::bench {
namespace {

constexpr char kFooter[] =
    "Figures of one run belong together; those of two runs do not: machines drift by a third. What to quote is the\n"
    "ratio. Progress goes to standard error.\n"
    "\n"
    "Examples:\n"
    "  dotagent-bench resolve\n"
    "  dotagent-bench resolve --only hot,contact --json\n"
    "  dotagent-bench identity\n"
    "  dotagent-bench authenticate\n"
    "  dotagent-bench revoke --agents 100 --revocations 10\n"
    "  dotagent-bench certificates --folder /var/tmp\n"
    "  dotagent-bench messages\n"
    "  dotagent-bench sessions --repetitions 9\n"
    "  dotagent-bench flood\n"
    "  dotagent-bench fan-out --subscribers 1000\n"
    "  dotagent-bench talk\n"
    "  dotagent-bench idle --agents 15000\n"
    "  dotagent-bench resolve --write docs/benchmarks.md      (make bench)\n";

// What every subcommand has.
struct Common {
  bool json = false;
  std::string write;

  void AddTo(CLI::App& command) {
    command.add_flag("--json", json, "Print JSON, with every repetition's figure");
    command.add_option("--write", write, "Also replace this command's table in FILE, between its markers")
        ->type_name("FILE");
  }

  [[nodiscard]] int Finish(const absl::Status& status, const Report& report) const {
    if (!status.ok()) {
      std::cerr << "dotagent-bench: " << status.message() << "\n";
      return 1;
    }
    std::cout << (json ? report.Json().dump(2) + "\n" : report.Text());
    if (write.empty()) return 0;
    const absl::Status written = report.WriteInto(write);
    if (!written.ok()) std::cerr << "dotagent-bench: " << written.message() << "\n";
    return written.ok() ? 0 : 1;
  }
};

std::string CommandLine(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return absl::StrJoin({std::string("dotagent-bench"), absl::StrJoin(arguments, " ")}, " ");
}

int Main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // as the services do
  signal(SIGPIPE, SIG_IGN);                                             // a child that died is told by its silence
  CLI::App app("Measures dotagent beside what it competes with, in one run.", "dotagent-bench");
  app.require_subcommand(1);
  app.footer(kFooter);

  Common common;
  ResolveOptions resolve;
  resolve.programs = std::filesystem::canonical("/proc/self/exe").parent_path();
  CLI::App* const resolve_command = app.add_subcommand(
      "resolve",
      "Names: a hot one over gRPC beside a bare gRPC server, first contact beside a new TLS connection, cold lookups\n"
      "and publishing beside OpenDHT, all of them found at another resolver at once, and what node ids cost");
  common.AddTo(*resolve_command);
  resolve_command->footer(kFooter);
  resolve_command->add_option("--nodes", resolve.nodes, "Nodes of each network")
      ->capture_default_str()
      ->check(CLI::Range(2, 200));
  resolve_command->add_option("--names", resolve.names, "Names to publish and look up")
      ->capture_default_str()
      ->check(CLI::Range(100, 1'000'000));
  resolve_command->add_option("--value-bytes", resolve.value_bytes, "Bytes of a record")
      ->capture_default_str()
      ->check(CLI::Range(400, 8000));
  resolve_command->add_option("--queries", resolve.queries, "Queries of the hot name")
      ->capture_default_str()
      ->check(CLI::Range(100, 100'000'000));
  resolve_command->add_option("--contacts", resolve.contacts, "First contacts")
      ->capture_default_str()
      ->check(CLI::Range(10, 1'000'000));
  resolve_command->add_option("--repetitions", resolve.repetitions, "Turns that each system gets")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  resolve_command->add_option("--only", resolve.only, "Parts: hot, contact, lookup, publish, puzzle")
      ->delimiter(',')
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kResolveParts), std::end(kResolveParts))));

  size_t identity_repetitions = 5;
  CLI::App* const identity_command = app.add_subcommand(
      "identity",
      "Capability tokens: checks of known ones, and of new ones beside the signatures alone; uses redeemed");
  common.AddTo(*identity_command);
  identity_command->footer(kFooter);
  identity_command->add_option("--repetitions", identity_repetitions, "Turns that each row gets")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));

  size_t authentication_repetitions = 5;
  CLI::App* const authenticate_command = app.add_subcommand(
      "authenticate", "Agents and a gateway proving their keys to each other, beside the signatures alone");
  common.AddTo(*authenticate_command);
  authenticate_command->footer(kFooter);
  authenticate_command->add_option("--repetitions", authentication_repetitions, "Turns that each side gets")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));

  RevokeOptions revoke;
  revoke.programs = resolve.programs;
  CLI::App* const revoke_command =
      app.add_subcommand("revoke", "How long a revoked key lives on in a running network, until everyone refuses it");
  common.AddTo(*revoke_command);
  revoke_command->footer(kFooter);
  revoke_command->add_option("--resolvers", revoke.resolvers, "Resolvers")
      ->capture_default_str()
      ->check(CLI::Range(1, 50));
  revoke_command->add_option("--agents", revoke.agents, "Agents that are connected to both gateways")
      ->capture_default_str()
      ->check(CLI::Range(4, 100'000));
  revoke_command
      ->add_option("--revocations", revoke.revocations,
                   "Keys to revoke one after another, and as many at once; at most a quarter of the agents, and 100")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));

  size_t certificate_repetitions = 5;
  std::string certificate_folder = ".";
  CLI::App* const certificates_command =
      app.add_subcommand("certificates", "Certificates issued by identity and logged on disk, a second");
  common.AddTo(*certificates_command);
  certificates_command->footer(kFooter);
  certificates_command->add_option("--repetitions", certificate_repetitions, "Turns that each row gets")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  certificates_command->add_option("--folder", certificate_folder, "Where to put the data, and remove it after")
      ->capture_default_str()
      ->check(CLI::ExistingDirectory);

  size_t message_repetitions = 5;
  CLI::App* const messages_command = app.add_subcommand(
      "messages",
      "Messages on disk in an inbox before their senders hear OK, beside what their verification and the\n"
      "same commits allow");
  common.AddTo(*messages_command);
  messages_command->footer(kFooter);
  messages_command->add_option("--repetitions", message_repetitions, "Turns that each row gets")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));

  SessionCostOptions sessions;
  CLI::App* const sessions_command = app.add_subcommand(
      "sessions",
      "Sessions: sealing and opening beside the bare cipher, loopback TCP beside cipher and TCP, handshakes beside\n"
      "their key operations");
  common.AddTo(*sessions_command);
  sessions_command->footer(kFooter);
  sessions_command->add_option("--repetitions", sessions.repetitions, "Turns that each row gets")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  sessions_command->add_option("--only", sessions.only, absl::StrCat("Parts: ", absl::StrJoin(kSessionParts, ", ")))
      ->delimiter(',')
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kSessionParts), std::end(kSessionParts))));

  FloodOptions flood;
  flood.programs = resolve.programs;
  CLI::App* const flood_command = app.add_subcommand(
      "flood",
      "A node on one core under a flood of handshakes from another: what its established sessions keep of their\n"
      "throughput, and how long newcomers wait");
  common.AddTo(*flood_command);
  flood_command->footer(kFooter);
  flood_command->add_option("--repetitions", flood.repetitions, "Turns with the flood and without")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  flood_command->add_option("--seconds", flood.seconds, "Length of each turn")
      ->capture_default_str()
      ->check(CLI::Range(1, 600));
  flood_command->add_option("--newcomers", flood.newcomers, "Newcomers of each kind")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  flood_command->add_option("--only", flood.only, absl::StrCat("Parts: ", absl::StrJoin(kFloodParts, ", ")))
      ->delimiter(',')
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kFloodParts), std::end(kFloodParts))));
  FanOutOptions fan_out;
  fan_out.programs = resolve.programs;
  CLI::App* const fan_out_command =
      app.add_subcommand("fan-out", "One publisher and many subscribers at a gateway, beside nats-server");
  common.AddTo(*fan_out_command);
  fan_out_command->footer(kFooter);
  fan_out_command->add_option("--subscribers", fan_out.subscribers, "Agents that subscribe")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  fan_out_command->add_option("--connections", fan_out.connections, "Connections that they share")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  fan_out_command->add_option("--publications", fan_out.publications, "Publications of a repetition")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  fan_out_command->add_option("--payload", fan_out.payload, "Bytes of text in one")
      ->capture_default_str()
      ->check(CLI::Range(1, 60'000));
  fan_out_command->add_option("--repetitions", fan_out.repetitions, "Turns that each system gets")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));

  TalkOptions talk;
  talk.programs = resolve.programs;
  CLI::App* const talk_command = app.add_subcommand(
      "talk",
      "Two agents: signed requests and their answers, and end-to-end channels, beside bare gRPC streams and\n"
      "nats-server");
  common.AddTo(*talk_command);
  talk_command->footer(kFooter);
  talk_command->add_option("--singles", talk.singles, "Requests, and messages that wait for their echo, a repetition")
      ->capture_default_str()
      ->check(CLI::Range(100, 10'000'000));
  talk_command->add_option("--messages", talk.messages, "Messages of 128 B that do not wait")
      ->capture_default_str()
      ->check(CLI::Range(1'000, 100'000'000));
  talk_command->add_option("--large", talk.large, "Messages of 16 KiB")
      ->capture_default_str()
      ->check(CLI::Range(100, 10'000'000));
  talk_command->add_option("--repetitions", talk.repetitions, "Turns that each side gets")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));

  IdleOptions idle;
  idle.programs = resolve.programs;
  CLI::App* const idle_command =
      app.add_subcommand("idle", "Memory of a gateway to which thousands of agents are connected that say nothing");
  common.AddTo(*idle_command);
  idle_command->footer(kFooter);
  idle_command->add_option("--agents", idle.agents, "Agents, each with a connection of its own")
      ->capture_default_str()
      ->check(CLI::Range(1, 500'000));
  CLI11_PARSE(app, argc, argv);

  if (talk_command->parsed()) {
    Report report("talk", CommandLine(argc, argv));
    return common.Finish(MeasureTalk(talk, report), report);
  }
  if (idle_command->parsed()) {
    Report report("idle", CommandLine(argc, argv));
    return common.Finish(MeasureIdle(idle, report), report);
  }
  if (flood_command->parsed()) {
    Report report("flood", CommandLine(argc, argv));
    const absl::Status status = MeasureFlood(flood, report);
    return common.Finish(status, report);
  }
  if (fan_out_command->parsed()) {
    Report report("fan-out", CommandLine(argc, argv));
    fan_out.connections = std::min(fan_out.connections, fan_out.subscribers);
    const absl::Status status = MeasureFanOut(fan_out, report);
    return common.Finish(status, report);
  }

  if (sessions_command->parsed()) {
    Report report("sessions", CommandLine(argc, argv));
    const absl::Status status = MeasureSessions(sessions, report);
    return common.Finish(status, report);
  }

  if (identity_command->parsed()) {
    Report report("identity", CommandLine(argc, argv));
    absl::Status status = MeasureTokens(identity_repetitions, report);
    if (status.ok()) status = MeasureRedemptions(identity_repetitions, report);
    return common.Finish(status, report);
  }
  if (authenticate_command->parsed()) {
    Report report("authenticate", CommandLine(argc, argv));
    return common.Finish(MeasureAuthentication(resolve.programs, authentication_repetitions, report), report);
  }
  if (messages_command->parsed()) {
    Report report("messages", CommandLine(argc, argv));
    return common.Finish(MeasureMessages(resolve.programs, message_repetitions, report), report);
  }
  if (revoke_command->parsed()) {
    Report report("revoke", CommandLine(argc, argv));
    if (4 * revoke.revocations > revoke.agents) {
      return common.Finish(absl::InvalidArgumentError("--revocations is more than a quarter of --agents"), report);
    }
    return common.Finish(MeasureRevocation(revoke, report), report);
  }
  if (certificates_command->parsed()) {
    Report report("certificates", CommandLine(argc, argv));
    const std::string folder = absl::StrCat(certificate_folder, "/bench-certificates-", getpid());
    std::filesystem::create_directory(folder);
    const absl::Status status = MeasureCertificates(certificate_repetitions, folder, report);
    std::filesystem::remove_all(folder);
    return common.Finish(status, report);
  }

  const absl::Status own_network = EnterPrivateNetwork();
  if (!own_network.ok()) std::cerr << own_network.message() << "\n";
  Report report("resolve", CommandLine(argc, argv));
  const absl::Status status = MeasureResolve(resolve, own_network.ok(), report);
  return common.Finish(status, report);
}

}  // namespace
}  // namespace dotagent::bench

int main(int argc, char** argv) { return dotagent::bench::Main(argc, argv); }
