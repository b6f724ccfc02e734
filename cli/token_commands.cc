// dotagent token issue|delegate|inspect|verify, offline; dotagent token revoke.
//
// A token is one line of base64 in a file; its bytes as they are will do as well.
#include <algorithm>
#include <chrono>
#include <cstddef>
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
#include "cli/token_tree.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/capability/token.h"
#include "common/capability/token_revocation.h"
#include "common/crypto/keys.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "dotagent/identity/v1/identity.grpc.pb.h"

namespace dotagent::cli {
namespace {

using capability::Token;
using capability::TokenGrant;

// A block holds from a little before it is signed, so that a verifier whose clock is behind takes it.
constexpr absl::Duration kBackdated = absl::Minutes(5);
constexpr absl::Duration kMaxLifetime = absl::Hours(24 * 365);  // with the above less than a block may hold

struct TokenArguments {
  std::string file;
  std::string to;
  std::string resource;
  std::vector<std::string> actions;
  std::string from;
  std::string expires_in = "24h";
  uint64_t uses = 0;
  std::string now;
  std::string owner;
  std::string presenter;
  std::string action;
  uint64_t block = 0;
  std::string reason;
  std::string statement_file;
  bool print_only = false;
};

absl::Status BadArgument(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, kBadArgument, message);
}

absl::StatusOr<absl::Time> ParseTime(const std::string& option, const std::string& text, absl::Time otherwise) {
  if (text.empty()) return otherwise;
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return time;
  return BadArgument(absl::StrCat(option, " ", text, " is not RFC 3339, such as 2026-01-31T12:00:00Z"));
}

absl::StatusOr<absl::Duration> ParseLifetime(const std::string& text) {
  absl::Duration lifetime;
  if (absl::ParseDuration(text, &lifetime) && lifetime > absl::ZeroDuration() && lifetime <= kMaxLifetime) {
    return lifetime;
  }
  return BadArgument(
      absl::StrCat("--expires-in ", text, " is not more than nothing and at most 365 days; write, say, 90m or 48h"));
}

absl::StatusOr<crypto::PublicKey> ParseKey(const std::string& option, const std::string& text) {
  const absl::StatusOr<std::string> bytes = Base64Decode(text);
  auto key = bytes.ok() ? crypto::PublicKey::FromBytes(*bytes) : absl::StatusOr<crypto::PublicKey>(bytes.status());
  if (key.ok()) return key;
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                         absl::StrCat(option, ": ", key.status().message(),
                                      "; give the key as base64, as `dotagent id` and `dotagent resolve` show it"));
}

int PrintToken(const Globals& globals, const std::string& bytes) {
  if (!globals.json) {
    std::puts(Base64Encode(bytes).c_str());
    return kOk;
  }
  const Token token = *capability::VerifyToken(bytes);
  Report report;
  report.Add("token", "", Base64Encode(bytes));
  report.Add("id", "", HexEncode(token.last().id));
  report.Add("expires", "", FormatTokenTime(token.expires()));
  report.Print(true);
  return kOk;
}

absl::StatusOr<int> Issue(const Globals& globals, const TokenArguments& arguments) {
  ASSIGN_OR_RETURN(const auto key, globals.Key());
  ASSIGN_OR_RETURN(const crypto::PublicKey audience, ParseKey("--to", arguments.to));
  const absl::Time now = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
  ASSIGN_OR_RETURN(const absl::Duration lifetime, ParseLifetime(arguments.expires_in));
  ASSIGN_OR_RETURN(const absl::Time from, ParseTime("--from", arguments.from, now - kBackdated));
  SystemRandom random;
  ASSIGN_OR_RETURN(const std::string token, capability::IssueToken(*key,
                                                                   {.audience = audience,
                                                                    .resource = arguments.resource,
                                                                    .actions = arguments.actions,
                                                                    .not_before = from,
                                                                    .expires = std::max(from, now) + lifetime,
                                                                    .max_uses = arguments.uses},
                                                                   random.Bytes(capability::kTokenNonceSize)));
  return PrintToken(globals, token);
}

// What is not said is what the holder has.
absl::StatusOr<int> Delegate(const Globals& globals, const TokenArguments& arguments) {
  ASSIGN_OR_RETURN(const auto key, globals.Key());
  ASSIGN_OR_RETURN(const crypto::PublicKey audience, ParseKey("--to", arguments.to));
  ASSIGN_OR_RETURN(const std::string bytes, ReadToken(arguments.file));
  ASSIGN_OR_RETURN(const Token token, capability::VerifyToken(bytes));
  const capability::TokenBlock& own = token.last();
  TokenGrant grant{.audience = audience,
                   .resource = arguments.resource.empty() ? own.resource.text() : arguments.resource,
                   .actions = arguments.actions.empty() ? own.actions : arguments.actions,
                   .max_uses = arguments.uses == 0 ? own.max_uses : arguments.uses};
  ASSIGN_OR_RETURN(grant.not_before, ParseTime("--from", arguments.from, own.not_before));
  grant.expires = own.expires;
  if (!arguments.expires_in.empty()) {
    ASSIGN_OR_RETURN(const absl::Duration lifetime, ParseLifetime(arguments.expires_in));
    grant.expires = std::max(grant.not_before, absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()))) + lifetime;
  }
  SystemRandom random;
  ASSIGN_OR_RETURN(const std::string longer,
                   capability::DelegateToken(bytes, *key, grant, random.Bytes(capability::kTokenNonceSize)));
  return PrintToken(globals, longer);
}

absl::StatusOr<int> Inspect(const Globals& globals, const TokenArguments& arguments) {
  ASSIGN_OR_RETURN(const absl::Time now, ParseTime("--now", arguments.now, absl::Now()));
  ASSIGN_OR_RETURN(const std::string bytes, ReadToken(arguments.file));
  const auto token = capability::VerifyToken(bytes);
  if (!token.ok()) return PrintInvalid(globals.json, token.status());
  if (globals.json) {
    Report report;
    report.Add("valid", "", true);
    report.Add("blocks", "", TokenJson(*token));
    report.Print(true);
  } else {
    std::fputs(TokenTree(*token, now).c_str(), stdout);
  }
  return kOk;
}

absl::StatusOr<int> Verify(const Globals& globals, const TokenArguments& arguments) {
  ASSIGN_OR_RETURN(const absl::Time now, ParseTime("--now", arguments.now, absl::Now()));
  ASSIGN_OR_RETURN(const crypto::PublicKey owner, ParseKey("--owner", arguments.owner));
  ASSIGN_OR_RETURN(const crypto::PublicKey presenter, ParseKey("--presenter", arguments.presenter));
  const auto resource = capability::Resource::Parse(arguments.resource);
  if (!resource.ok()) return BadArgument(absl::StrCat("--resource: ", resource.status().message()));
  ASSIGN_OR_RETURN(const std::string bytes, ReadToken(arguments.file));
  const auto token = capability::VerifyToken(bytes);
  if (!token.ok()) return PrintInvalid(globals.json, token.status());
  const absl::Status allowed = token->Allows(
      {.owners = {&owner, 1}, .presenter = presenter, .resource = *resource, .action = arguments.action}, now);
  if (!allowed.ok()) return PrintInvalid(globals.json, allowed);
  Report report;
  report.Add("valid", "", true);
  report.Add("resource", "Allowed on", resource->text());
  report.Add("action", "Action", arguments.action);
  report.Add("expires", "Until", FormatTokenTime(token->expires()));
  report.Add("id", "Id", HexEncode(token->last().id));
  if (token->counted()) report.Add("max_uses", "Uses", token->last().max_uses);
  report.Print(globals.json);
  return kOk;
}

// Hands a revocation to --identity. `report` tells what it is about.
absl::StatusOr<int> PublishRevocation(const Globals& globals, const std::string& statement, Report report) {
  namespace v1 = ::dotagent::identity::v1;
  const absl::Duration timeout = absl::Seconds(static_cast<double>(globals.timeout_s));
  ASSIGN_OR_RETURN(const auto channel, rpc::NewChannel(globals.identity, {.known_nodes = globals.KnownNodes()}));
  RETURN_IF_ERROR(channel->WaitUntilReady(timeout));
  const auto stub = v1::IdentityService::NewStub(channel->grpc());
  v1::RevokeTokenRequest request;
  request.set_statement(statement);
  v1::RevokeTokenResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  RETURN_IF_ERROR(rpc::FromGrpc(stub->RevokeToken(&context, request, &response)));
  report.Add("sequence", "Sequence", response.sequence());
  report.Add("recorded_at", "Recorded", FormatTokenTime(absl::FromUnixMillis(response.recorded_at_ms())));
  report.Print(globals.json);
  return kOk;
}

// A statement that was signed before, for another deployment where the resource's agent lives.
absl::StatusOr<int> RevokeAgain(const Globals& globals, const TokenArguments& arguments) {
  ASSIGN_OR_RETURN(const std::string statement,
                   ReadInput(arguments.statement_file, capability::kMaxTokenRevocationSize));
  ASSIGN_OR_RETURN(const capability::TokenRevocation revocation,
                   capability::VerifyTokenRevocation(statement, absl::Now()));
  Report report;
  report.Add("id", "Revoked", HexEncode(revocation.block));
  return PublishRevocation(globals, statement, std::move(report));
}

absl::StatusOr<int> Revoke(const Globals& globals, const TokenArguments& arguments) {
  if (!arguments.statement_file.empty()) return RevokeAgain(globals, arguments);
  if (arguments.file.empty()) return BadArgument("name the file with the token, or a --statement");
  ASSIGN_OR_RETURN(const auto key, globals.Key());
  ASSIGN_OR_RETURN(const std::string bytes, ReadToken(arguments.file));
  ASSIGN_OR_RETURN(const Token token, capability::VerifyToken(bytes));
  const size_t number = arguments.block == 0 ? token.blocks().size() : arguments.block;
  if (number > token.blocks().size()) {
    return BadArgument(absl::StrCat("--block ", number, ": the token has ", token.blocks().size(), " blocks"));
  }
  const auto& blocks = token.blocks();
  const auto end = blocks.begin() + static_cast<std::ptrdiff_t>(number);
  if (std::none_of(blocks.begin(), end, [&](const auto& block) { return block.issuer == key->public_key(); })) {
    return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kKeyMismatch,
                           absl::StrCat("block ", number,
                                        " can be taken back by those who issued it or one before it; "
                                        "--key is none of them"));
  }
  const capability::TokenBlock& block = blocks[number - 1];
  ASSIGN_OR_RETURN(const std::string statement,
                   capability::SignTokenRevocation(*key, block.id, arguments.reason, absl::Now()));
  if (arguments.print_only) return PrintStatement(globals.json, statement);
  Report report;
  report.Add("id", "Revoked", HexEncode(block.id));
  report.Add("block", "Block", number);
  return PublishRevocation(globals, statement, std::move(report));
}

void AddGrantOptions(CLI::App* command, const std::shared_ptr<TokenArguments>& arguments, bool delegates) {
  command->add_option("--to", arguments->to, "Who gets it: an Ed25519 public key, base64")->required();
  auto* const resource =
      command->add_option("--resource", arguments->resource, "agent://NAME or agent://NAME/PATH, and all below it");
  auto* const actions =
      command->add_option("--action", arguments->actions, "What may be done with it, such as call; repeatable");
  if (!delegates) {
    resource->required();
    actions->required();
  }
  command->add_option("--from", arguments->from, "RFC 3339 time from which it holds; the default is 5 minutes ago");
  auto* const lifetime =
      command->add_option("--expires-in", arguments->expires_in, "How long it holds, such as 90m or 48h");
  if (!delegates) lifetime->capture_default_str();
  command->add_option("--uses", arguments->uses, "How often it can be used; the default is without limit")
      ->check(CLI::Range(uint64_t{1}, capability::kMaxTokenUses));
}

}  // namespace

void AddTokenCommands(CLI::App& app, Globals& globals, Chosen& chosen) {
  CLI::App* token = AddCommand(&app, "token", "Capability tokens: who may do what with an agent's resources", {});
  token->require_subcommand(1);
  const auto runs = [&globals, &chosen](CLI::App* command, const std::shared_ptr<TokenArguments>& arguments,
                                        absl::StatusOr<int> (*run)(const Globals&, const TokenArguments&)) {
    command->callback([&globals, &chosen, arguments, run] {
      chosen.run = [&globals, arguments, run] { return run(globals, *arguments); };
    });
  };
  {
    auto arguments = std::make_shared<TokenArguments>();
    CLI::App* command = AddCommand(
        token, "issue", "Sign a token with --key, the key that owns the resource's agent, and print it",
        {"dotagent token issue --key bob.pem --to BASE64 --resource agent://bob.agent/calendar --action call > "
         "alice.token",
         "dotagent token issue --key bob.pem --to BASE64 --resource agent://bob.agent --action call --uses 10 "
         "--expires-in 1h"});
    AddGrantOptions(command, arguments, false);
    runs(command, arguments, Issue);
  }
  {
    auto arguments = std::make_shared<TokenArguments>();
    arguments->expires_in.clear();
    CLI::App* command = AddCommand(
        token, "delegate", "Hand a token that was made out to --key on, as it is or narrower, and print it",
        {"dotagent token delegate alice.token --key alice.pem --to BASE64 > carol.token",
         "dotagent token delegate alice.token --key alice.pem --to BASE64 --resource agent://bob.agent/calendar/events "
         "--uses 1 --expires-in 10m"});
    command->add_option("file", arguments->file, "The token; - is standard input")->required();
    AddGrantOptions(command, arguments, true);
    runs(command, arguments, Delegate);
  }
  {
    auto arguments = std::make_shared<TokenArguments>();
    CLI::App* command =
        AddCommand(token, "inspect", "Print who gave what to whom, as a tree; exit status 1 if the chain is not valid",
                   {"dotagent token inspect carol.token", "dotagent token inspect carol.token --json"});
    command->add_option("file", arguments->file, "The token; - is standard input")->required();
    command->add_option("--now", arguments->now, "RFC 3339 time to compare the dates with; the default is the clock's");
    runs(command, arguments, Inspect);
  }
  {
    auto arguments = std::make_shared<TokenArguments>();
    CLI::App* command = AddCommand(
        token, "verify",
        "Does it allow this? Exit status 0 if so, else 1 and the rule that it breaks. Offline: revocations and uses "
        "are "
        "for gateways to know",
        {"dotagent token verify carol.token --owner BASE64 --presenter BASE64 --resource agent://bob.agent/calendar "
         "--action call"});
    command->add_option("file", arguments->file, "The token; - is standard input")->required();
    command->add_option("--owner", arguments->owner, "The key in the record of the resource's agent, base64")
        ->required();
    command->add_option("--presenter", arguments->presenter, "The key that shows the token, base64")->required();
    command->add_option("--resource", arguments->resource, "What it is to be used on")->required();
    command->add_option("--action", arguments->action, "What for")->required();
    command->add_option("--now", arguments->now,
                        "RFC 3339 time to check the dates against; the default is the clock's");
    runs(command, arguments, Verify);
  }
  {
    auto arguments = std::make_shared<TokenArguments>();
    CLI::App* command = AddCommand(
        token, "revoke", "Take a block of a token back, and with it all that was handed on from there, for good",
        {"dotagent token revoke alice.token --key bob.pem --reason 'project over'",
         "dotagent token revoke carol.token --block 2 --key alice.pem",
         "dotagent token revoke carol.token --key bob.pem --print > carol.revocation   # for several deployments",
         "dotagent token revoke --statement carol.revocation --identity identity.second:7445"});
    auto* const file = command->add_option("file", arguments->file, "The token; - is standard input");
    command
        ->add_option("--statement", arguments->statement_file, "Hand over a statement that was signed before, instead")
        ->excludes(file);
    command->add_option("--block", arguments->block, "Which block, counted from 1; the default is the last");
    command->add_option("--reason", arguments->reason, "Why, for people to read");
    command->add_flag("--print", arguments->print_only, "Only sign the statement and write it to standard output");
    runs(command, arguments, Revoke);
  }
}

}  // namespace dotagent::cli
