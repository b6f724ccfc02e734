// dotagent record sign|verify, dotagent message sign|verify: offline, on the specification's JSON.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/report.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/record/canonical_json.h"
#include "common/record/message.h"
#include "common/record/record.h"

namespace dotagent::cli {
namespace {

struct DocumentArguments {
  std::string file;
  std::string now;
  std::string public_key;
  std::string recipient;
  std::string type = "NOTIFICATION";
  std::string content = "{}";
  std::vector<std::string> addresses;
  std::vector<std::string> protocols;
  int64_t ttl = record::kDefaultTtlSeconds;
};

absl::StatusOr<absl::Time> ParseNow(const std::string& text) {
  if (text.empty()) return absl::Now();
  absl::Time now;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &now, &error)) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, kBadArgument,
                           absl::StrCat("--now ", text, " is not RFC 3339, such as 2026-01-31T12:00:00Z"));
  }
  return now;
}

absl::StatusOr<int> SignRecord(const Globals& globals, const DocumentArguments& arguments) {
  ASSIGN_OR_RETURN(const auto key, globals.Key());
  ASSIGN_OR_RETURN(const absl::Time now, ParseNow(arguments.now));
  ASSIGN_OR_RETURN(const record::Record record, record::Record::Sign({.name = globals.name,
                                                                      .addresses = arguments.addresses,
                                                                      .protocols = arguments.protocols,
                                                                      .timestamp = now,
                                                                      .ttl_seconds = arguments.ttl},
                                                                     *key));
  std::puts(record.json().c_str());
  return kOk;
}

absl::StatusOr<int> VerifyRecord(const Globals& globals, const DocumentArguments& arguments) {
  ASSIGN_OR_RETURN(const absl::Time now, ParseNow(arguments.now));
  auto json = ReadInput(arguments.file, record::kMaxRecordSize);
  if (ReasonOf(json.status()) == reason::kTooLarge) return PrintInvalid(globals.json, json.status());
  RETURN_IF_ERROR(json.status());
  const auto record = record::Record::Verify(*json, now);
  if (!record.ok()) return PrintInvalid(globals.json, record.status());
  Report report;
  report.Add("valid", "", true);
  report.Add("name", "Valid record of", record->name().text());
  report.Add("public_key", "Public key", Base64Encode(record->public_key().bytes()));
  report.Print(globals.json);
  return kOk;
}

absl::StatusOr<int> SignMessage(const Globals& globals, const DocumentArguments& arguments) {
  ASSIGN_OR_RETURN(const auto key, globals.Key());
  ASSIGN_OR_RETURN(const absl::Time now, ParseNow(arguments.now));
  ASSIGN_OR_RETURN(const record::MessageType type, record::ParseMessageType(arguments.type));
  ASSIGN_OR_RETURN(record::Json content, record::ParseStrictJson(arguments.content));
  SystemRandom random;
  ASSIGN_OR_RETURN(const record::Message message, record::Message::Sign({.id = record::NewMessageId(random),
                                                                         .type = type,
                                                                         .sender = globals.name,
                                                                         .recipient = arguments.recipient,
                                                                         .timestamp = now,
                                                                         .content = std::move(content)},
                                                                        *key));
  std::puts(message.json().c_str());
  return kOk;
}

absl::StatusOr<int> VerifyMessage(const Globals& globals, const DocumentArguments& arguments) {
  ASSIGN_OR_RETURN(const absl::Time now, ParseNow(arguments.now));
  const absl::StatusOr<std::string> key_bytes = Base64Decode(arguments.public_key);
  if (!key_bytes.ok()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                           absl::StrCat("--public-key: ", key_bytes.status().message()));
  }
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromBytes(*key_bytes));
  auto json = ReadInput(arguments.file, record::kMaxMessageSize);
  if (ReasonOf(json.status()) == reason::kTooLarge) return PrintInvalid(globals.json, json.status());
  RETURN_IF_ERROR(json.status());
  const auto message = record::Message::Verify(*json, key, now);
  if (!message.ok()) return PrintInvalid(globals.json, message.status());
  Report report;
  report.Add("valid", "", true);
  report.Add("id", "Valid message", message->id());
  report.Add("sender", "From", message->sender().text());
  report.Add("recipient", "To", message->recipient().text());
  report.Print(globals.json);
  return kOk;
}

CLI::App* AddVerify(CLI::App* parent, const std::string& what, const std::string& example,
                    const std::shared_ptr<DocumentArguments>& arguments) {
  CLI::App* verify = AddCommand(
      parent, "verify",
      absl::StrCat("Check a ", what, ": exit status 0 if it is valid, else 1 and the rule that it breaks"), {example});
  verify->add_option("file", arguments->file, "The JSON; - is standard input")->required();
  verify->add_option("--now", arguments->now, "RFC 3339 time to check the dates against; the default is the clock's");
  return verify;
}

}  // namespace

void AddDocumentCommands(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto arguments = std::make_shared<DocumentArguments>();
  const auto runs = [&globals, &chosen, arguments](
                        CLI::App* command, absl::StatusOr<int> (*run)(const Globals&, const DocumentArguments&)) {
    command->callback([&globals, &chosen, arguments, run] {
      chosen.run = [&globals, arguments, run] { return run(globals, *arguments); };
    });
  };

  CLI::App* record = AddCommand(&app, "record", "Sign and check resolution records, offline", {});
  record->require_subcommand(1);
  CLI::App* sign_record = AddCommand(
      record, "sign", "Sign a record for --name with --key and print it",
      {"dotagent record sign --name alice.agent --key alice.pem --address /ip4/192.0.2.1/tcp/4001 > alice.json"});
  sign_record->add_option("--address", arguments->addresses, "A multiaddr; repeatable");
  sign_record->add_option("--protocol", arguments->protocols, "A protocol; repeatable");
  sign_record->add_option("--ttl", arguments->ttl, "Seconds for which it holds")->capture_default_str();
  sign_record->add_option("--now", arguments->now, "RFC 3339 time to date it with; the default is the clock's");
  runs(sign_record, SignRecord);
  runs(AddVerify(record, "record", "dotagent record verify alice.json", arguments), VerifyRecord);

  CLI::App* message = AddCommand(&app, "message", "Sign and check messages, offline", {});
  message->require_subcommand(1);
  CLI::App* sign_message = AddCommand(
      message, "sign", "Sign a message from --name with --key and print it",
      {"dotagent message sign --name alice.agent --key alice.pem --to bob.agent --content '{\"text\":\"hello\"}'"});
  sign_message->add_option("--to", arguments->recipient, "The recipient's name")->required();
  sign_message->add_option("--type", arguments->type, "REQUEST, RESPONSE, NOTIFICATION, STREAM or ERROR")
      ->capture_default_str();
  sign_message->add_option("--content", arguments->content, "A JSON object")->capture_default_str();
  sign_message->add_option("--now", arguments->now, "RFC 3339 time to date it with; the default is the clock's");
  runs(sign_message, SignMessage);
  CLI::App* verify_message =
      AddVerify(message, "message", "dotagent message verify message.json --public-key BASE64", arguments);
  verify_message
      ->add_option("--public-key", arguments->public_key, "The sender's Ed25519 public key, base64, from its record")
      ->required();
  runs(verify_message, VerifyMessage);
}

}  // namespace dotagent::cli
