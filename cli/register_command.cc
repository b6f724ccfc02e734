// dotagent register.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/report.h"
#include "common/base/status.h"

namespace dotagent::cli {
namespace {

struct RegisterArguments {
  int64_t ttl = record::kDefaultTtlSeconds;
  std::vector<std::string> protocols;
  std::vector<std::string> addresses;
  std::string record_file;
  ProofFiles proof;
};

absl::StatusOr<int> Register(const Globals& globals, const RegisterArguments& arguments) {
  ASSIGN_OR_RETURN(const auto agent, globals.Connect(arguments.proof));
  absl::StatusOr<sdk::Registration> registration;
  if (!arguments.record_file.empty()) {
    ASSIGN_OR_RETURN(const std::string json, ReadInput(arguments.record_file, record::kMaxRecordSize));
    registration = agent->RegisterSigned(json);
  } else {
    sdk::RegisterOptions options{.ttl_seconds = arguments.ttl, .extra_addresses = arguments.addresses};
    if (!arguments.protocols.empty()) {
      options.protocols = arguments.protocols;
      options.sealed = false;
    }
    registration = agent->Register(options);
  }
  RETURN_IF_ERROR(registration.status());
  Report report;
  report.Add("name", "Registered", registration->record.name().text());
  report.Add("confirmed", "", registration->stored_by.size());
  report.Add("asked", "", registration->asked);
  report.Add("summary", "Confirmed by",
             absl::StrCat(registration->stored_by.size(), " of ", registration->asked, " nodes asked"));
  report.Add("stored_by", "Stored by", registration->stored_by);
  report.Add("addresses", "Addresses", registration->record.addresses());
  report.Add("expires", "Expires",
             absl::FormatTime(absl::RFC3339_sec, registration->record.expires(), absl::UTCTimeZone()));
  report.Print(globals.json);
  return kOk;
}

}  // namespace

void AddRegisterCommand(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto arguments = std::make_shared<RegisterArguments>();
  CLI::App* command = AddCommand(&app, "register", "Claim --name for --key, or refresh it",
                                 {"dotagent register --name alice.agent --key alice.pem",
                                  "dotagent register --name alice.agent --key alice.pem --ttl 3600",
                                  "dotagent register --name alice.agent --key alice.pem --certificate alice.crt"});
  command->add_option("--ttl", arguments->ttl, "Seconds for which the record holds")->capture_default_str();
  command->add_option(
      "--protocol", arguments->protocols,
      "A protocol that the agent speaks, in place of messages, channels and sealed messages; repeatable");
  command->add_option("--address", arguments->addresses, "A multiaddr beside the gateway's; repeatable");
  command->add_option("--record", arguments->record_file,
                      "Publish this record, signed before with `dotagent record sign`");
  arguments->proof.AddTo(command);
  command->callback(
      [&globals, &chosen, arguments] { chosen.run = [&globals, arguments] { return Register(globals, *arguments); }; });
}

}  // namespace dotagent::cli
