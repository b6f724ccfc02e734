// dotagent keygen, dotagent id.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/key_report.h"
#include "cli/report.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/key_file.h"
#include "common/crypto/peer_id.h"
#include "common/identity/agent_id.h"
#include "common/identity/rotation.h"
#include "common/record/name.h"

namespace dotagent::cli {

absl::StatusOr<ChainFile> ReadChainFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadInput(path, identity::kMaxRotationChainSize));
  const auto read = [&]() -> absl::StatusOr<ChainFile> {
    ASSIGN_OR_RETURN(std::vector<std::string> statements, identity::DecodeRotationChain(bytes));
    ASSIGN_OR_RETURN(identity::RotationChain chain, identity::VerifyRotationChain(statements, absl::Now()));
    return ChainFile{std::move(statements), std::move(chain)};
  };
  absl::StatusOr<ChainFile> file = read();
  return file.ok() ? std::move(file) : WithContext(file.status(), path);
}

absl::StatusOr<std::string> AgentIdOf(const crypto::StoredKey& key, const std::string& rotation_chain) {
  const crypto::PublicKey& public_key = key.signer->public_key();
  if (rotation_chain.empty()) {
    return key.attributes.agent_id.empty() ? identity::AgentId::FromFirstKey(public_key).ToString()
                                           : key.attributes.agent_id;
  }
  ASSIGN_OR_RETURN(const ChainFile file, ReadChainFile(rotation_chain));
  if (file.chain.KeyWasOf(public_key) || file.chain.Succeeds(public_key, file.chain.current())) {
    return file.chain.agent.ToString();
  }
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kKeyMismatch,
                         absl::StrCat("the key is none of the identity in ", rotation_chain));
}

void AddKeyFields(const crypto::PublicKey& key, const std::string& agent_id, Report& report) {
  report.Add("agent_id", "Agent id", agent_id);
  report.Add("public_key", "Public key", Base64Encode(key.bytes()));
  report.Add("peer_id", "Peer id", crypto::PeerIdFromKey(key));
}

absl::StatusOr<crypto::StoredKey> MakeKeyAt(const std::string& address, const crypto::KeyAttributes& attributes,
                                            std::optional<crypto::SecretBytes> secret) {
  ASSIGN_OR_RETURN(const auto store, crypto::OpenKeyStore(address, std::move(secret)));
  SystemRandom random;
  return store->Generate(crypto::IsKeyFile(address) ? attributes : crypto::KeyAttributes(), random);
}

namespace {

struct KeyGenArguments {
  std::string address;
  std::string next;
  std::string rotation_chain;
  bool encrypt = false;
};

absl::Status CheckKeyGen(const Globals& globals, const KeyGenArguments& arguments) {
  if (arguments.next.empty() != arguments.rotation_chain.empty()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, kBadArgument,
                           "--next and --rotation-chain go together: the chain is the promise which key comes next");
  }
  ASSIGN_OR_RETURN(const auto passphrase, globals.Passphrase());
  if (arguments.encrypt && !passphrase) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                           "--encrypt needs a passphrase: give --passphrase-file or set DOTAGENT_PASSPHRASE");
  }
  return absl::OkStatus();
}

// The passphrase where it is wanted: of files with --encrypt only; tokens and TPMs always take theirs.
absl::StatusOr<std::optional<crypto::SecretBytes>> SecretFor(const Globals& globals, const KeyGenArguments& arguments,
                                                             const std::string& address) {
  if (crypto::IsKeyFile(address) && !arguments.encrypt) return std::optional<crypto::SecretBytes>();
  return globals.Passphrase();
}

absl::StatusOr<int> KeyGen(const Globals& globals, const KeyGenArguments& arguments) {
  RETURN_IF_ERROR(CheckKeyGen(globals, arguments));
  crypto::KeyAttributes attributes;
  if (!globals.name.empty()) {
    ASSIGN_OR_RETURN(const record::Name name, record::Name::Parse(globals.name));
    attributes.name = name.text();
  }
  ASSIGN_OR_RETURN(auto secret, SecretFor(globals, arguments, arguments.address));
  ASSIGN_OR_RETURN(const crypto::StoredKey key, MakeKeyAt(arguments.address, attributes, std::move(secret)));
  const crypto::PublicKey& first = key.signer->public_key();
  const std::string agent_id = identity::AgentId::FromFirstKey(first).ToString();
  Report report;
  report.Add("key_file", "Key", arguments.address);
  AddKeyFields(first, agent_id, report);
  if (!arguments.next.empty()) {
    attributes.agent_id = agent_id;
    ASSIGN_OR_RETURN(secret, SecretFor(globals, arguments, arguments.next));
    ASSIGN_OR_RETURN(const crypto::StoredKey next, MakeKeyAt(arguments.next, attributes, std::move(secret)));
    ASSIGN_OR_RETURN(const std::string inception,
                     identity::MakeInception(*key.signer, next.signer->public_key(), absl::Now()));
    RETURN_IF_ERROR(WriteFileAtOnce(arguments.rotation_chain, identity::EncodeRotationChain({&inception, 1})));
    report.Add("next", "Next key", arguments.next);
    report.Add("rotation_chain", "Rotation chain", arguments.rotation_chain);
  }
  report.Print(globals.json);
  return kOk;
}

absl::StatusOr<int> ShowId(const Globals& globals, bool pem, const std::string& rotation_chain) {
  ASSIGN_OR_RETURN(const crypto::StoredKey key, globals.Stored());
  if (pem) {
    std::fputs(crypto::PublicKeyToPem(key.signer->public_key()).c_str(), stdout);
    return kOk;
  }
  ASSIGN_OR_RETURN(const std::string agent_id, AgentIdOf(key, rotation_chain));
  Report report;
  AddKeyFields(key.signer->public_key(), agent_id, report);
  if (!key.attributes.name.empty()) report.Add("name", "For the name", key.attributes.name);
  report.Print(globals.json);
  return kOk;
}

}  // namespace

void AddKeyCommands(CLI::App& app, Globals& globals, Chosen& chosen) {
  {
    auto arguments = std::make_shared<KeyGenArguments>();
    CLI::App* command = AddCommand(
        &app, "keygen", "Make an Ed25519 key: a file (PKCS#8 PEM, mode 0600), in a token, or sealed to a TPM",
        {"dotagent keygen alice.pem", "DOTAGENT_PASSPHRASE=… dotagent keygen alice.pem --encrypt",
         "dotagent keygen alice.pem --next safe/alice-2.pem --rotation-chain alice.chain   # can be rotated",
         "dotagent keygen 'pkcs11:token=agents;object=alice?module-path=/usr/lib/softhsm/libsofthsm2.so'",
         "dotagent keygen tpm2:alice.tpm"});
    command
        ->add_option("file", arguments->address,
                     "Where: a file, pkcs11:… or tpm2:FILE; an existing key is never overwritten")
        ->required();
    command->add_flag("--encrypt", arguments->encrypt, "Encrypt files with the passphrase");
    command->add_option("--next", arguments->next,
                        "Make the key that may take its place too, there; keep it elsewhere (needs --rotation-chain)");
    command->add_option("--rotation-chain", arguments->rotation_chain,
                        "File for the identity's rotation chain, to register with");
    command->callback(
        [&globals, &chosen, arguments] { chosen.run = [&globals, arguments] { return KeyGen(globals, *arguments); }; });
  }
  {
    auto pem = std::make_shared<bool>(false);
    auto chain = std::make_shared<std::string>();
    CLI::App* command = AddCommand(&app, "id", "Show whose key --key is",
                                   {"dotagent id --key alice.pem", "dotagent id --key alice.pem --json"});
    command->add_flag("--pem", *pem, "Print the public key as PEM");
    command->add_option("--rotation-chain", *chain, "File with the rotation chain that says whose the key is");
    command->callback([&globals, &chosen, pem, chain] {
      chosen.run = [&globals, pem, chain] { return ShowId(globals, *pem, *chain); };
    });
  }
}

}  // namespace dotagent::cli
