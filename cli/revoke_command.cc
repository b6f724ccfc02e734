// dotagent revoke.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/key_report.h"
#include "cli/report.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/identity/revocation.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "dotagent/identity/v1/identity.grpc.pb.h"

namespace dotagent::cli {
namespace {

struct RevokeArguments {
  std::string reason;
  std::string statement_file;
  std::string rotation_chain;
  std::string of;  // base64
  bool print_only = false;
  bool as_registrar = false;
};

// A statement about --of, or --key itself, which is one of the chain's identity if there is a chain.
absl::StatusOr<std::string> Sign(const Globals& globals, const RevokeArguments& arguments,
                                 const std::optional<ChainFile>& file) {
  ASSIGN_OR_RETURN(const auto key, globals.Key());
  crypto::PublicKey revoked = key->public_key();
  if (!arguments.of.empty()) {
    const absl::StatusOr<std::string> bytes = Base64Decode(arguments.of);
    if (!bytes.ok()) return WithContext(bytes.status(), "--of");
    ASSIGN_OR_RETURN(revoked, crypto::PublicKey::FromBytes(*bytes));
  }
  const identity::AgentId agent = file ? file->chain.agent : identity::AgentId::FromFirstKey(revoked);
  return identity::SignRevocationOf(*key, agent, revoked, arguments.reason, absl::Now());
}

absl::StatusOr<int> Revoke(const Globals& globals, const RevokeArguments& arguments) {
  namespace v1 = ::dotagent::identity::v1;
  std::optional<ChainFile> file;
  if (!arguments.rotation_chain.empty()) {
    ASSIGN_OR_RETURN(file, ReadChainFile(arguments.rotation_chain));
  }
  std::string statement;
  if (!arguments.statement_file.empty()) {
    ASSIGN_OR_RETURN(statement, ReadInput(arguments.statement_file, identity::kMaxRevocationSize));
  } else {
    ASSIGN_OR_RETURN(statement, Sign(globals, arguments, file));
  }
  if (arguments.print_only) return PrintStatement(globals.json, statement);
  std::vector<crypto::PublicKey> registrars;  // what this command believes; identity decides
  if (arguments.as_registrar) {
    ASSIGN_OR_RETURN(const auto key, globals.Key());
    registrars.push_back(key->public_key());
  }
  // What a first key, or a registrar of one, says needs no chain, and goes without.
  std::string evidence;
  if (file && !identity::VerifyRevocation(statement, absl::Now(), {.registrars = registrars}).ok()) {
    evidence = identity::EncodeRotationChain(file->statements);
  }
  ASSIGN_OR_RETURN(const identity::Revocation revocation,
                   identity::VerifyRevocationWith(statement, evidence, absl::Now(), registrars));
  const absl::Duration timeout = absl::Seconds(static_cast<double>(globals.timeout_s));
  ASSIGN_OR_RETURN(const auto channel, rpc::NewChannel(globals.identity, {.known_nodes = globals.KnownNodes()}));
  RETURN_IF_ERROR(channel->WaitUntilReady(timeout));
  const auto stub = v1::IdentityService::NewStub(channel->grpc());
  v1::RevokeRequest request;
  request.set_statement(statement);
  request.set_rotation_chain(evidence);
  v1::RevokeResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  RETURN_IF_ERROR(rpc::FromGrpc(stub->Revoke(&context, request, &response)));
  Report report;
  report.Add("agent_id", "Revoked", revocation.agent_id.ToString());
  report.Add("public_key", "Public key", Base64Encode(revocation.public_key.bytes()));
  report.Add("sequence", "Sequence", response.sequence());
  report.Add(
      "recorded_at", "Recorded",
      absl::FormatTime(absl::RFC3339_full, absl::FromUnixMillis(response.recorded_at_ms()), absl::UTCTimeZone()));
  report.Print(globals.json);
  return kOk;
}

}  // namespace

void AddRevokeCommand(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto arguments = std::make_shared<RevokeArguments>();
  CLI::App* command = AddCommand(
      &app, "revoke", "End the life of --key, everywhere and for good",
      {"dotagent revoke --key bob.pem --reason 'laptop stolen'",
       "dotagent revoke --key bob.pem --print > bob.revocation   # keep it in a safe place",
       "dotagent revoke --statement bob.revocation                 # for when the key itself is lost",
       "dotagent revoke --key safe/bob-2.pem --of OLD_PUBLIC_KEY --rotation-chain bob.chain   # by its successor",
       "dotagent revoke --key identity/node.pem --as-registrar --of PUBLIC_KEY --reason 'abuse'   # by the operator"});
  command->add_option("--reason", arguments->reason, "Why, for people to read");
  command->add_flag("--print", arguments->print_only, "Only sign the statement and write it to standard output");
  CLI::Option* statement =
      command->add_option("--statement", arguments->statement_file, "Publish a statement that was signed before");
  command->add_option("--rotation-chain", arguments->rotation_chain,
                      "File with the identity's rotation chain, if the key is not its first or another one signs");
  CLI::Option* of = command->add_option(
      "--of", arguments->of,
      "The public key to revoke, base64, if not --key's own: one whose place --key took or may take");
  command
      ->add_flag("--as-registrar", arguments->as_registrar,
                 "--key is the registrar's of a network whose names need certificates: it may revoke any key")
      ->excludes(statement)
      ->needs(of);
  command->callback(
      [&globals, &chosen, arguments] { chosen.run = [&globals, arguments] { return Revoke(globals, *arguments); }; });
}

}  // namespace dotagent::cli
