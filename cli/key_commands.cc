// dotagent keygen, dotagent id.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/exit_status.h"
#include "cli/report.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/key_file.h"
#include "common/crypto/peer_id.h"
#include "common/identity/agent_id.h"

namespace dotagent::cli {
namespace {

void AddKeyFields(const crypto::PublicKey& key, Report& report) {
  report.Add("agent_id", "Agent id", identity::AgentId::FromFirstKey(key).ToString());
  report.Add("public_key", "Public key", Base64Encode(key.bytes()));
  report.Add("peer_id", "Peer id", crypto::PeerIdFromKey(key));
}

absl::StatusOr<int> KeyGen(const Globals& globals, const std::string& path, bool encrypt) {
  SystemRandom random;
  const crypto::SigningKey key = crypto::SigningKey::Generate(random);
  std::optional<crypto::SecretBytes> passphrase;
  if (encrypt) {
    ASSIGN_OR_RETURN(passphrase, globals.Passphrase());
    if (!passphrase) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                             "--encrypt needs a passphrase: give --passphrase-file or set DOTAGENT_PASSPHRASE");
    }
  }
  RETURN_IF_ERROR(crypto::WriteKeyFile(path, key, passphrase));
  Report report;
  report.Add("key_file", "Key file", path);
  AddKeyFields(key.public_key(), report);
  report.Print(globals.json);
  return kOk;
}

absl::StatusOr<int> ShowId(const Globals& globals, bool pem) {
  ASSIGN_OR_RETURN(const auto key, globals.Key());
  if (pem) {
    std::fputs(crypto::PublicKeyToPem(key->public_key()).c_str(), stdout);
    return kOk;
  }
  Report report;
  AddKeyFields(key->public_key(), report);
  report.Print(globals.json);
  return kOk;
}

}  // namespace

void AddKeyCommands(CLI::App& app, Globals& globals, Chosen& chosen) {
  {
    struct Arguments {
      std::string path;
      bool encrypt = false;
    };
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command =
        AddCommand(&app, "keygen", "Make an Ed25519 key (PKCS#8 PEM, mode 0600)",
                   {"dotagent keygen alice.pem", "DOTAGENT_PASSPHRASE=… dotagent keygen alice.pem --encrypt"});
    command->add_option("file", arguments->path, "Where to write it; an existing file is never overwritten")
        ->required();
    command->add_flag("--encrypt", arguments->encrypt, "Encrypt it with the passphrase");
    command->callback([&globals, &chosen, arguments] {
      chosen.run = [&globals, arguments] { return KeyGen(globals, arguments->path, arguments->encrypt); };
    });
  }
  {
    auto pem = std::make_shared<bool>(false);
    CLI::App* command = AddCommand(&app, "id", "Show whose key --key is",
                                   {"dotagent id --key alice.pem", "dotagent id --key alice.pem --json"});
    command->add_flag("--pem", *pem, "Print the public key as PEM");
    command->callback([&globals, &chosen, pem] { chosen.run = [&globals, pem] { return ShowId(globals, *pem); }; });
  }
}

}  // namespace dotagent::cli
