// dotagent key rotate, chain, export, import.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/key_report.h"
#include "cli/report.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/identity/agent_id.h"
#include "common/identity/rotation.h"
#include "common/record/name.h"

namespace dotagent::cli {
namespace {

constexpr size_t kMaxPassphrase = 1024;

struct RotateArguments {
  std::string next;
  std::string after_next;
  ProofFiles proof;
};

// The key at `address`, made if there is none: a rotation that was interrupted goes on with the one that it made.
absl::StatusOr<crypto::StoredKey> OpenOrMake(const Globals& globals, const std::string& address,
                                             const crypto::KeyAttributes& attributes) {
  absl::StatusOr<crypto::StoredKey> key = globals.OpenKey(address);
  if (!absl::IsNotFound(key.status())) return key;
  ASSIGN_OR_RETURN(auto passphrase, globals.Passphrase());
  return MakeKeyAt(address, attributes, std::move(passphrase));
}

// Signs the rotation and writes it behind the others, unless that has been done.
absl::StatusOr<ChainFile> Rotate(const Globals& globals, const RotateArguments& arguments,
                                 const crypto::StoredKey& current, const crypto::StoredKey& next) {
  ASSIGN_OR_RETURN(ChainFile file, ReadChainFile(arguments.proof.rotation_chain));
  if (file.chain.current() == next.signer->public_key()) return file;
  // Before a key is made: keys that do not fit are the caller's mistake.
  if (file.chain.current() != current.signer->public_key()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kKeyMismatch,
                           "--key is not the identity's current key by its rotation chain");
  }
  if (!file.chain.Succeeds(next.signer->public_key(), file.chain.current())) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kKeyMismatch,
                           "--next is not the key that the identity has committed to; no other can take its place");
  }
  ASSIGN_OR_RETURN(const crypto::StoredKey after,
                   OpenOrMake(globals, arguments.after_next,
                              {.agent_id = file.chain.agent.ToString(), .name = current.attributes.name}));
  ASSIGN_OR_RETURN(std::string rotation, identity::MakeRotation(file.chain, *current.signer, *next.signer,
                                                                after.signer->public_key(), absl::Now()));
  file.statements.push_back(std::move(rotation));
  ASSIGN_OR_RETURN(file.chain, identity::VerifyRotationChain(file.statements, absl::Now()));
  RETURN_IF_ERROR(WriteFileAtOnce(arguments.proof.rotation_chain, identity::EncodeRotationChain(file.statements)));
  return file;
}

// Signs the name's record anew with the new key: what it said stays; or a first one, if there is none.
absl::StatusOr<sdk::Registration> Publish(const Globals& globals, const ProofFiles& proof,
                                          std::shared_ptr<const crypto::Signer> key) {
  ASSIGN_OR_RETURN(const auto agent, globals.ConnectWith(std::move(key), proof));
  const absl::StatusOr<sdk::ResolvedName> held = agent->Resolve(agent->name(), true);
  if (ReasonOf(held.status()) == reason::kNameNotFound) return agent->Register({});
  RETURN_IF_ERROR(held.status());
  return agent->Refresh(held->record);
}

absl::StatusOr<int> RotateKey(const Globals& globals, const RotateArguments& arguments) {
  ASSIGN_OR_RETURN(const crypto::StoredKey current, globals.Stored());
  ASSIGN_OR_RETURN(const crypto::StoredKey next, globals.OpenKey(arguments.next));
  ASSIGN_OR_RETURN(const ChainFile file, Rotate(globals, arguments, current, next));
  Report report;
  report.Add("key_file", "Key", arguments.next);
  AddKeyFields(next.signer->public_key(), file.chain.agent.ToString(), report);
  report.Add("rotations", "Rotations", file.chain.length() - 1);
  report.Add("next", "Next key", arguments.after_next);
  report.Add("rotation_chain", "Rotation chain", arguments.proof.rotation_chain);
  if (!globals.name.empty()) {
    const auto published = Publish(globals, arguments.proof, next.signer);
    if (!published.ok()) {
      return WithContext(published.status(),
                         absl::StrCat("the key is rotated, and ", arguments.proof.rotation_chain,
                                      " is written; publishing the record failed (the same command tries again)"));
    }
    report.Add("name", "Registered", published->record.name().text());
    report.Add("confirmed", "", published->stored_by.size());
    report.Add("asked", "", published->asked);
    report.Add("expires", "Expires",
               absl::FormatTime(absl::RFC3339_sec, published->record.expires(), absl::UTCTimeZone()));
  }
  report.Print(globals.json);
  return kOk;
}

struct ChainArguments {
  std::string whose;
  std::string out;
};

// An AgentId in text, or a name's owner.
absl::StatusOr<identity::AgentId> FindAgent(sdk::Agent& agent, const std::string& whose) {
  const auto bytes = HexDecode(whose);
  if (bytes.ok() && bytes->size() == crypto::kSha256Size) return identity::AgentId::FromBytes(*bytes);
  ASSIGN_OR_RETURN(const sdk::ResolvedName resolved, agent.Resolve(whose));
  return identity::AgentId::FromBytes(resolved.owner);
}

// The keys by which an identity came to its current one, from the DHT.
absl::StatusOr<int> ShowChain(const Globals& globals, const ChainArguments& arguments) {
  ASSIGN_OR_RETURN(const auto agent, globals.Connect());
  ASSIGN_OR_RETURN(const identity::AgentId id, FindAgent(*agent, arguments.whose));
  const auto answer = agent->GetRotationChain(id);
  if (absl::IsNotFound(answer.status())) {
    return ErrorWithReason(
        absl::StatusCode::kNotFound, reason::kNameNotFound,
        absl::StrCat("no rotation chain of ", id.ToString(), " is published; its first key may still be its only one"));
  }
  RETURN_IF_ERROR(answer.status());
  const sdk::FoundRotationChain& found = *answer;
  if (!arguments.out.empty()) RETURN_IF_ERROR(WriteFileAtOnce(arguments.out, found.bytes));
  Report report;
  AddKeyFields(found.chain.current(), id.ToString(), report);
  report.Add("rotations", "Rotations", found.chain.length() - 1);
  report.Add("since", "Since", absl::FormatTime(absl::RFC3339_sec, found.chain.newest(), absl::UTCTimeZone()));
  report.Add("agreeing_nodes", "Nodes that agree", found.agreeing_nodes);
  if (!arguments.out.empty()) report.Add("rotation_chain", "Rotation chain", arguments.out);
  report.Print(globals.json);
  return kOk;
}

struct CopyArguments {
  std::string address;
  std::string to_passphrase_file;
  std::string rotation_chain;
  bool plain = false;
};

absl::StatusOr<std::optional<crypto::SecretBytes>> NewSecret(const CopyArguments& arguments) {
  if (arguments.to_passphrase_file.empty()) return std::optional<crypto::SecretBytes>();
  ASSIGN_OR_RETURN(std::string text, ReadInput(arguments.to_passphrase_file, kMaxPassphrase));
  if (!text.empty() && text.back() == '\n') text.pop_back();
  crypto::SecretBytes secret{absl::string_view(text)};
  crypto::Wipe(text.data(), text.size());
  return std::optional<crypto::SecretBytes>(std::move(secret));
}

// Puts the key of --key at another address, with what is known of it.
absl::StatusOr<int> CopyKey(const Globals& globals, const CopyArguments& arguments) {
  ASSIGN_OR_RETURN(const crypto::StoredKey key, globals.Stored());
  if (key.secret == nullptr) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kBadKey,
                           "the key cannot leave its token; rotate to a key elsewhere instead (dotagent key rotate)");
  }
  ASSIGN_OR_RETURN(const std::string agent_id, AgentIdOf(key, arguments.rotation_chain));
  crypto::KeyAttributes attributes;
  if (crypto::IsKeyFile(arguments.address)) {
    attributes = key.attributes;
    // What the key itself says need not be noted.
    if (agent_id != identity::AgentId::FromFirstKey(key.signer->public_key()).ToString())
      attributes.agent_id = agent_id;
    if (!globals.name.empty()) {
      ASSIGN_OR_RETURN(const record::Name name, record::Name::Parse(globals.name));
      attributes.name = name.text();
    }
  }
  ASSIGN_OR_RETURN(std::optional<crypto::SecretBytes> secret, NewSecret(arguments));
  ASSIGN_OR_RETURN(const auto store, crypto::OpenKeyStore(arguments.address, std::move(secret)));
  ASSIGN_OR_RETURN(const crypto::StoredKey copied, store->Import(*key.secret, attributes));
  Report report;
  report.Add("key_file", "Key", arguments.address);
  AddKeyFields(copied.signer->public_key(), agent_id, report);
  if (!attributes.name.empty()) report.Add("name", "For the name", attributes.name);
  report.Print(globals.json);
  return kOk;
}

absl::StatusOr<int> ExportKey(const Globals& globals, const CopyArguments& arguments) {
  if (!crypto::IsKeyFile(arguments.address)) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, kBadArgument,
                           "a key is exported to a file; `dotagent key import` puts one into a token or a TPM");
  }
  if (arguments.to_passphrase_file.empty() && !arguments.plain) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                           "give --to-passphrase-file to encrypt the file, or say --plain");
  }
  return CopyKey(globals, arguments);
}

void AddRotate(CLI::App* group, Globals& globals, Chosen& chosen) {
  auto arguments = std::make_shared<RotateArguments>();
  CLI::App* command = AddCommand(
      group, "rotate", "Pass from --key to the key that the identity has committed to",
      {"dotagent key rotate --key alice.pem --next safe/alice-2.pem --after-next safe/alice-3.pem "
       "--rotation-chain alice.chain --name alice.agent",
       "dotagent key rotate … without --name signs only; publish with `dotagent register --rotation-chain`"});
  command
      ->add_option("--next", arguments->next, "The key that takes its place: of the last `keygen --next` or rotation")
      ->required();
  command
      ->add_option("--after-next", arguments->after_next,
                   "The key to commit to now; made if there is none. Keep it elsewhere")
      ->required();
  arguments->proof.AddTo(command);
  command->get_option("--rotation-chain")->required();
  command->callback([&globals, &chosen, arguments] {
    chosen.run = [&globals, arguments] { return RotateKey(globals, *arguments); };
  });
}

void AddChain(CLI::App* group, Globals& globals, Chosen& chosen) {
  auto arguments = std::make_shared<ChainArguments>();
  CLI::App* command = AddCommand(group, "chain", "Find an identity's rotation chain, and verify it",
                                 {"dotagent key chain bob.agent --key alice.pem",
                                  "dotagent key chain 21fe31df…21b9 --key alice.pem --out bob.chain"});
  command->add_option("whose", arguments->whose, "A name, or an AgentId: 64 hexadecimal digits")->required();
  command->add_option("--out", arguments->out, "Write the chain to this file too");
  command->callback([&globals, &chosen, arguments] {
    chosen.run = [&globals, arguments] { return ShowChain(globals, *arguments); };
  });
}

void AddCopy(CLI::App* group, bool exports, Globals& globals, Chosen& chosen) {
  auto arguments = std::make_shared<CopyArguments>();
  CLI::App* command =
      exports ? AddCommand(group, "export", "Copy --key into a new PKCS#8 file, which `openssl pkey` reads",
                           {"dotagent key export --key tpm2:alice.tpm backup.pem --to-passphrase-file secret.txt"})
              : AddCommand(group, "import", "Copy --key, a file, into a token, a TPM, or another file",
                           {"dotagent key import --key alice.pem tpm2:alice.tpm",
                            "dotagent key import --key alice.pem 'pkcs11:token=agents;object=alice?module-path=…' "
                            "--to-passphrase-file pin.txt"});
  command->add_option("address", arguments->address, "Where to; what is there is never overwritten")->required();
  command->add_option("--to-passphrase-file", arguments->to_passphrase_file,
                      "File with the copy's passphrase, PIN or password");
  command->add_option("--rotation-chain", arguments->rotation_chain,
                      "File with the rotation chain that says whose the key is, to note in a file");
  if (exports) command->add_flag("--plain", arguments->plain, "Do not encrypt the file");
  command->callback([&globals, &chosen, arguments, exports] {
    chosen.run = [&globals, arguments, exports] {
      return exports ? ExportKey(globals, *arguments) : CopyKey(globals, *arguments);
    };
  });
}

}  // namespace

void AddKeyGroup(CLI::App& app, Globals& globals, Chosen& chosen) {
  CLI::App* group = AddCommand(&app, "key", "Rotate keys, and copy them between files, tokens and TPMs", {});
  group->require_subcommand(1);
  AddRotate(group, globals, chosen);
  AddChain(group, globals, chosen);
  AddCopy(group, true, globals, chosen);
  AddCopy(group, false, globals, chosen);
}

}  // namespace dotagent::cli
