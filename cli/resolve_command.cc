// dotagent resolve.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/report.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "dotagent/resolver/v1/resolver.grpc.pb.h"

namespace dotagent::cli {
namespace {

namespace v1 = ::dotagent::resolver::v1;

constexpr size_t kMaxBatch = 100;  // that a resolver takes

struct ResolveArguments {
  std::vector<std::string> names;
  std::string resolver;
  bool no_cache = false;
  bool receipts = false;
  bool accept_new_owner = false;
  bool raw = false;
};

struct Found {
  sdk::ResolvedName resolved;
  std::vector<v1::Receipt> receipts;
};

struct Outcome {
  std::string name;
  absl::StatusOr<Found> found;
};

std::string SourceName(v1::AnswerSource source) {
  if (source == v1::ANSWER_SOURCE_CACHE) return "cache";
  return source == v1::ANSWER_SOURCE_STORE ? "store" : "dht";
}

// A resolver is believed no more than a gateway.
absl::StatusOr<Found> Check(const std::string& asked, const v1::ResolveResponse& response) {
  ASSIGN_OR_RETURN(const record::Name name, record::Name::Parse(asked));
  ASSIGN_OR_RETURN(record::Record record, record::Record::Verify(response.record_json(), absl::Now()));
  if (record.name() != name) {
    return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kBadRecord,
                           absl::StrCat("asked for ", name.text(), ", the resolver answered with the record of ",
                                        record.name().text(), "; do not trust it"));
  }
  return Found{.resolved = {.record = std::move(record),
                            .source = SourceName(response.source()),
                            .hops = response.hops(),
                            .agreeing_nodes = response.agreeing_nodes(),
                            .stale = response.stale(),
                            .paths_agreed = response.paths_agreed(),
                            .receipts = response.receipt_count(),
                            .messages = response.messages(),
                            .remaining_ttl = absl::Seconds(response.remaining_ttl_s()),
                            .owner = response.owner()},
               .receipts = {response.receipts().begin(), response.receipts().end()}};
}

// Asks a resolver itself, which needs no key: for operators.
class ResolverClient {
 public:
  [[nodiscard]] static absl::StatusOr<ResolverClient> Connect(const Globals& globals, const std::string& target) {
    ResolverClient client;
    client.timeout_ = std::chrono::seconds(globals.timeout_s);
    ASSIGN_OR_RETURN(client.channel_, rpc::NewChannel(target, {.known_nodes = globals.KnownNodes()}));
    RETURN_IF_ERROR(client.channel_->WaitUntilReady(absl::FromChrono(client.timeout_)));
    client.stub_ = v1::ResolverService::NewStub(client.channel_->grpc());
    return client;
  }

  [[nodiscard]] absl::StatusOr<Found> Resolve(const std::string& name, const ResolveArguments& arguments) {
    v1::ResolveRequest request;
    request.set_name(name);
    request.set_bypass_cache(arguments.no_cache);
    request.set_with_receipts(arguments.receipts);
    request.set_accept_new_owner(arguments.accept_new_owner);
    v1::ResolveResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout_);
    RETURN_IF_ERROR(rpc::FromGrpc(stub_->Resolve(&context, request, &response)));
    return Check(name, response);
  }

  // At most kMaxBatch names.
  [[nodiscard]] absl::StatusOr<std::vector<Outcome>> BatchResolve(const std::vector<std::string>& names,
                                                                  const ResolveArguments& arguments) {
    v1::BatchResolveRequest request;
    *request.mutable_names() = {names.begin(), names.end()};
    request.set_bypass_cache(arguments.no_cache);
    request.set_with_receipts(arguments.receipts);
    v1::BatchResolveResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout_);
    RETURN_IF_ERROR(rpc::FromGrpc(stub_->BatchResolve(&context, request, &response)));
    if (static_cast<size_t>(response.results_size()) != names.size()) {
      return ErrorWithReason(
          absl::StatusCode::kDataLoss, reason::kProtocol,
          absl::StrCat("asked for ", names.size(), " names, the resolver answered for ", response.results_size()));
    }
    std::vector<Outcome> outcomes;
    for (size_t i = 0; i < names.size(); ++i) {
      const v1::NameResult& result = response.results(static_cast<int>(i));
      if (result.has_answer()) {
        outcomes.push_back({names[i], Check(names[i], result.answer())});
      } else {
        const auto code = static_cast<absl::StatusCode>(result.error().code());
        // A code that is none reads as unknown; OK would be an error that says it is none.
        outcomes.push_back({names[i], ErrorWithReason(code == absl::StatusCode::kOk ? absl::StatusCode::kUnknown : code,
                                                      result.error().reason(), result.error().message())});
      }
    }
    return outcomes;
  }

 private:
  std::chrono::seconds timeout_{};
  std::unique_ptr<rpc::Channel> channel_;
  std::unique_ptr<v1::ResolverService::Stub> stub_;
};

absl::StatusOr<std::vector<Outcome>> AskResolver(const Globals& globals, const ResolveArguments& arguments) {
  ASSIGN_OR_RETURN(ResolverClient client, ResolverClient::Connect(globals, arguments.resolver));
  std::vector<Outcome> outcomes;
  if (arguments.names.size() == 1) {
    outcomes.push_back({arguments.names[0], client.Resolve(arguments.names[0], arguments)});
    return outcomes;
  }
  for (size_t begin = 0; begin < arguments.names.size(); begin += kMaxBatch) {
    const auto from = arguments.names.begin() + static_cast<std::ptrdiff_t>(begin);
    const size_t count = std::min(kMaxBatch, arguments.names.size() - begin);
    ASSIGN_OR_RETURN(std::vector<Outcome> batch,
                     client.BatchResolve({from, from + static_cast<std::ptrdiff_t>(count)}, arguments));
    std::move(batch.begin(), batch.end(), std::back_inserter(outcomes));
  }
  return outcomes;
}

absl::StatusOr<std::vector<Outcome>> AskGateway(const Globals& globals, const ResolveArguments& arguments) {
  ASSIGN_OR_RETURN(const auto agent, globals.Connect());
  std::vector<Outcome> outcomes;
  for (const std::string& name : arguments.names) {
    absl::StatusOr<sdk::ResolvedName> resolved = agent->Resolve(name, arguments.no_cache);
    outcomes.push_back(
        {name, resolved.ok() ? absl::StatusOr<Found>(Found{*std::move(resolved), {}}) : resolved.status()});
  }
  return outcomes;
}

std::string FormatTimestamp(absl::Time time) { return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone()); }

Report Describe(const Found& found, bool with_receipts) {
  const sdk::ResolvedName& resolved = found.resolved;
  Report report;
  report.Add("name", "Name", resolved.record.name().text());
  report.Add("owner", "Owner", HexEncode(resolved.owner));
  report.Add("public_key", "Public key", Base64Encode(resolved.record.public_key().bytes()));
  report.Add("addresses", "Addresses", resolved.record.addresses());
  report.Add("protocols", "Protocols", resolved.record.protocols());
  report.Add("timestamp", "Signed", FormatTimestamp(resolved.record.timestamp()));
  report.Add("expires", "Expires", FormatTimestamp(resolved.record.expires()));
  report.Add("signature", "Signature", "verified");
  report.Add("source", "From", resolved.source);
  report.Add("stale", "", resolved.stale);
  report.Add("remaining_ttl_s", "Seconds to keep", absl::ToInt64Seconds(resolved.remaining_ttl));
  report.Add("hops", "Hops", resolved.hops);
  report.Add("messages", "Messages", resolved.messages);
  report.Add("paths_agreed", "Paths agreed", resolved.paths_agreed);
  report.Add("agreeing_nodes", "Agreeing nodes", resolved.agreeing_nodes);
  report.Add("receipts", "Receipts", resolved.receipts);
  if (with_receipts) {
    auto list = nlohmann::ordered_json::array();
    for (const v1::Receipt& receipt : found.receipts) {
      list.push_back({{"node_id", HexEncode(receipt.node_id())},
                      {"first_seen", FormatTimestamp(absl::FromUnixMillis(receipt.first_seen_ms()))},
                      {"signature", Base64Encode(receipt.signature())}});
    }
    report.Add("receipt_list", "", std::move(list));
  }
  report.Add("record", "", nlohmann::ordered_json::parse(resolved.record.json()));
  return report;
}

// Several names: a line each, or a list. The status is the first failure's.
int PrintAll(const std::vector<Outcome>& outcomes, const ResolveArguments& arguments, bool json) {
  absl::Status first_failure;
  std::vector<std::vector<std::string>> table = {{"NAME", "FROM", "SIGNED", "EXPIRES", "PUBLIC KEY"}};
  auto list = nlohmann::ordered_json::array();
  for (const Outcome& outcome : outcomes) {
    if (!outcome.found.ok()) {
      const std::string message(outcome.found.status().message());
      if (first_failure.ok()) first_failure = outcome.found.status();
      list.push_back({{"name", outcome.name}, {"error", message}, {"reason", ReasonOf(outcome.found.status())}});
      if (!json) std::fprintf(stderr, "dotagent: %s\n", Printable(message).c_str());
      continue;
    }
    const sdk::ResolvedName& resolved = outcome.found->resolved;
    if (arguments.raw && !json) std::puts(resolved.record.json().c_str());
    list.push_back(Describe(*outcome.found, arguments.receipts).json());
    table.push_back({resolved.record.name().text(), absl::StrCat(resolved.source, resolved.stale ? " (stale)" : ""),
                     FormatTimestamp(resolved.record.timestamp()), FormatTimestamp(resolved.record.expires()),
                     Base64Encode(resolved.record.public_key().bytes())});
  }
  if (json) {
    Report report;
    report.Add("results", "", std::move(list));
    report.Print(true);
  } else if (!arguments.raw && table.size() > 1) {
    std::fputs(FormatTable(table).c_str(), stdout);
  }
  return ExitStatusFor(first_failure);
}

absl::StatusOr<int> Resolve(const Globals& globals, const ResolveArguments& arguments) {
  if (arguments.accept_new_owner && arguments.names.size() > 1) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadName,
                           "--accept-new-owner takes one name at a time: look at each");
  }
  ASSIGN_OR_RETURN(const std::vector<Outcome> outcomes,
                   arguments.resolver.empty() ? AskGateway(globals, arguments) : AskResolver(globals, arguments));
  if (outcomes.size() > 1) return PrintAll(outcomes, arguments, globals.json);
  RETURN_IF_ERROR(outcomes[0].found.status());
  if (arguments.raw) {
    std::puts(outcomes[0].found->resolved.record.json().c_str());
    return kOk;
  }
  Describe(*outcomes[0].found, arguments.receipts).Print(globals.json);
  return kOk;
}

}  // namespace

void AddResolveCommand(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto arguments = std::make_shared<ResolveArguments>();
  CLI::App* command =
      AddCommand(&app, "resolve", "Find names' records and verify them",
                 {"dotagent resolve bob.agent --key alice.pem", "dotagent resolve bob.agent --key alice.pem --raw",
                  "dotagent resolve bob.agent carol.agent --resolver 127.0.0.1:7447 --receipts --json",
                  "dotagent resolve bob.agent --resolver 127.0.0.1:7447 --accept-new-owner"});
  command->add_option("agents", arguments->names, "The names to find")->required();
  CLI::Option* resolver = command->add_option(
      "--resolver", arguments->resolver, "Ask this resolver's gRPC host:port instead of the gateway; needs no key");
  command->add_flag("--no-cache", arguments->no_cache, "Do not answer from a resolver's cache");
  command->add_flag("--receipts", arguments->receipts, "List what the storing nodes signed, in the JSON")
      ->needs(resolver);
  command
      ->add_flag("--accept-new-owner", arguments->accept_new_owner,
                 "Have the resolver forget who held the name before, after a CONFLICT")
      ->needs(resolver);
  command->add_flag("--raw", arguments->raw, "Print the record exactly as it was signed");
  command->callback(
      [&globals, &chosen, arguments] { chosen.run = [&globals, arguments] { return Resolve(globals, *arguments); }; });
}

}  // namespace dotagent::cli
