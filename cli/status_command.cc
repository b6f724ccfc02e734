// dotagent status.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/report.h"
#include "common/base/format.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/identity/certificate.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "dotagent/gateway/v1/gateway.grpc.pb.h"
#include "dotagent/identity/v1/identity.grpc.pb.h"
#include "dotagent/relay/v1/relay.grpc.pb.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"

namespace dotagent::cli {
namespace {

struct StatusArguments {
  std::vector<std::string> resolvers;
  std::vector<std::string> relays;
  bool identity = false;
};

// One service's answer, or why there is none.
struct Row {
  std::string service;
  std::string target;
  absl::Status status;
  std::string peer_id;
  std::string version;
  std::string details;
};

template <typename Request, typename Response, typename Stub>
absl::StatusOr<Response> Ask(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                             absl::Duration timeout) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  Response response;
  RETURN_IF_ERROR(rpc::FromGrpc((stub.*method)(&context, Request(), &response)));
  return response;
}

Row AskService(const Globals& globals, const std::string& service, const std::string& target,
               const std::function<absl::Status(rpc::Channel&, absl::Duration, Row&)>& ask) {
  Row row{.service = service, .target = target, .status = {}, .peer_id = {}, .version = {}, .details = {}};
  row.status = [&]() -> absl::Status {
    const absl::Duration timeout = absl::Seconds(static_cast<double>(globals.timeout_s));
    ASSIGN_OR_RETURN(const auto channel, rpc::NewChannel(target, {.known_nodes = globals.KnownNodes()}));
    RETURN_IF_ERROR(channel->WaitUntilReady(timeout));
    return ask(*channel, timeout, row);
  }();
  return row;
}

absl::Status AskGateway(rpc::Channel& channel, absl::Duration timeout, Row& row) {
  using gateway::v1::GatewayService;
  const auto stub = GatewayService::NewStub(channel.grpc());
  ASSIGN_OR_RETURN(const auto info, Ask(*stub, &GatewayService::Stub::GetInfo, timeout));
  row.peer_id = info.peer_id();
  row.version = info.version();
  row.details = absl::StrCat(info.addresses_size(), " addresses");
  return absl::OkStatus();
}

absl::Status AskResolver(rpc::Channel& channel, absl::Duration timeout, Row& row) {
  using resolver::v1::ResolverService;
  const auto stub = ResolverService::NewStub(channel.grpc());
  ASSIGN_OR_RETURN(const auto info, Ask(*stub, &ResolverService::Stub::GetStatus, timeout));
  row.peer_id = info.peer_id();
  row.version = info.version();
  row.details = absl::StrCat(info.known_nodes(), " nodes known, ", info.stored_values(),
                             " values stored, names: ", info.name_policy());
  if (info.registrars_size() > 0) absl::StrAppend(&row.details, " ", absl::StrJoin(info.registrars(), " "));
  if (info.puzzle_static_bits() > 0 || info.puzzle_dynamic_bits() > 0) {
    absl::StrAppend(&row.details, ", puzzles of ", info.puzzle_static_bits(), " and ", info.puzzle_dynamic_bits(),
                    " bits");
  }
  return absl::OkStatus();
}

absl::Status AskRelay(rpc::Channel& channel, absl::Duration timeout, Row& row) {
  using relay::v1::RelayService;
  const auto stub = RelayService::NewStub(channel.grpc());
  ASSIGN_OR_RETURN(const auto info, Ask(*stub, &RelayService::Stub::GetStatus, timeout));
  row.peer_id = info.peer_id();
  row.version = info.version();
  row.details = absl::StrCat(info.reservations(), " reservations, ", info.circuits(), " circuits, ",
                             FormatBytes(static_cast<double>(info.relayed_bytes())), " carried");
  return absl::OkStatus();
}

absl::Status AskIdentity(rpc::Channel& channel, absl::Duration timeout, Row& row) {
  using identity::v1::IdentityService;
  const auto stub = IdentityService::NewStub(channel.grpc());
  ASSIGN_OR_RETURN(const auto bundle, Ask(*stub, &IdentityService::Stub::GetTrustBundle, timeout));
  // Its key is the registrar's: what a resolver's --registrar takes.
  ASSIGN_OR_RETURN(const identity::PeerCertificate server, channel.server());
  row.peer_id = crypto::PeerIdFromKey(server.node_key);
  row.details = absl::StrCat("trust bundle of ", bundle.bundle_pem().size(), " bytes");
  return absl::OkStatus();
}

absl::StatusOr<int> ShowStatus(const Globals& globals, const StatusArguments& arguments) {
  std::vector<Row> rows;
  rows.push_back(AskService(globals, "gateway", globals.gateway, AskGateway));
  for (const std::string& target : arguments.resolvers)
    rows.push_back(AskService(globals, "resolver", target, AskResolver));
  for (const std::string& target : arguments.relays) rows.push_back(AskService(globals, "relay", target, AskRelay));
  if (arguments.identity) rows.push_back(AskService(globals, "identity", globals.identity, AskIdentity));

  absl::Status worst;
  std::vector<std::vector<std::string>> table = {{"SERVICE", "TARGET", "STATE", "PEER ID", "VERSION", "DETAILS"}};
  auto list = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    if (!row.status.ok()) worst = row.status;
    const std::string state = row.status.ok() ? "up" : "down";
    const std::string details = row.status.ok() ? row.details : std::string(row.status.message());
    table.push_back({row.service, row.target, state, row.peer_id, row.version, Printable(details)});
    list.push_back({{"service", row.service},
                    {"target", row.target},
                    {"state", state},
                    {"peer_id", row.peer_id},
                    {"version", row.version},
                    {"details", details}});
  }
  if (globals.json) {
    Report report;
    report.Add("services", "", std::move(list));
    report.Print(true);
  } else {
    std::fputs(FormatTable(table).c_str(), stdout);
  }
  return static_cast<int>(ExitStatusFor(worst));
}

}  // namespace

void AddStatusCommand(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto arguments = std::make_shared<StatusArguments>();
  CLI::App* command = AddCommand(
      &app, "status", "Ask services how they are",
      {"dotagent status", "dotagent status --with-identity --resolver 127.0.0.1:7447 --relay 127.0.0.1:7446"});
  command->add_option("--resolver", arguments->resolvers, "A resolver's gRPC host:port; repeatable");
  command->add_option("--relay", arguments->relays, "A relay's gRPC host:port; repeatable");
  command->add_flag("--with-identity", arguments->identity, "Ask --identity too");
  command->callback([&globals, &chosen, arguments] {
    chosen.run = [&globals, arguments] { return ShowStatus(globals, *arguments); };
  });
}

}  // namespace dotagent::cli
