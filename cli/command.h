// What every command of `dotagent` shares: the global options, the key, the connection to a gateway, and how errors are
// shown.
#ifndef DOTAGENT_CLI_COMMAND_H_
#define DOTAGENT_CLI_COMMAND_H_

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/key_store.h"
#include "common/crypto/keys.h"
#include "sdk/cpp/agent.h"

namespace dotagent::cli {

// Files with what goes with a name's record (record/name_proof.h); empty: none.
struct ProofFiles {
  std::string certificate;     // PEM
  std::string rotation_chain;  // a serialized dotagent.identity.v1.RotationChain

  // --certificate and --rotation-chain.
  void AddTo(CLI::App* command);
  // Reads them. InvalidArgument (BAD_STATEMENT) if the first holds no certificate.
  [[nodiscard]] absl::StatusOr<record::NameProof> Read() const;
};

// Options that hold for every command: flag, DOTAGENT_* variable, key of the TOML file.
struct Globals {
  std::string home;  // where known_nodes lives
  std::string gateway = "127.0.0.1:7443";
  std::string identity = "127.0.0.1:7445";
  std::string key_address;
  std::string name;
  std::string passphrase_file;
  uint64_t timeout_s = 30;
  bool json = false;

  [[nodiscard]] std::string KnownNodes() const;
  // From --passphrase-file or DOTAGENT_PASSPHRASE; std::nullopt if there is neither.
  [[nodiscard]] absl::StatusOr<std::optional<crypto::SecretBytes>> Passphrase() const;
  // Opens the key at an address (crypto/key_store.h). Asks for its passphrase or PIN on a terminal if it needs one and
  // there is none.
  [[nodiscard]] absl::StatusOr<crypto::StoredKey> OpenKey(const std::string& address) const;
  // The same for --key.
  [[nodiscard]] absl::StatusOr<crypto::StoredKey> Stored() const;
  [[nodiscard]] absl::StatusOr<std::shared_ptr<const crypto::Signer>> Key() const;
  // Connects to --gateway as --name with --key. What goes with the record is read anew at each registration. The keys
  // at `former_keys` open sealed messages too: FailedPrecondition (KEY_STORE) if one cannot leave its token.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<sdk::Agent>> Connect(
      const ProofFiles& proof = {}, const std::vector<std::string>& former_keys = {}) const;
  // The same with another key.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<sdk::Agent>> ConnectWith(
      std::shared_ptr<const crypto::Signer> signer, const ProofFiles& proof,
      std::vector<std::shared_ptr<const crypto::SigningKey>> former_keys = {}) const;
};

// A command runs with the globals and returns its error, or an exit status of its own.
using Run = std::function<absl::StatusOr<int>()>;

// Collects which command was chosen; main runs it after parsing.
struct Chosen {
  Run run;
};

// Adds `name` to `parent`. `examples` end its --help.
CLI::App* AddCommand(CLI::App* parent, const std::string& name, const std::string& description,
                     const std::vector<std::string>& examples);

// Each adds its commands. `globals` and `chosen` must outlive parsing.
void AddKeyCommands(CLI::App& app, Globals& globals, Chosen& chosen);       // keygen, id
void AddKeyGroup(CLI::App& app, Globals& globals, Chosen& chosen);          // key rotate, export, import
void AddRegisterCommand(CLI::App& app, Globals& globals, Chosen& chosen);   // register
void AddResolveCommand(CLI::App& app, Globals& globals, Chosen& chosen);    // resolve
void AddMessageCommands(CLI::App& app, Globals& globals, Chosen& chosen);   // send, request, listen, …
void AddTopicCommands(CLI::App& app, Globals& globals, Chosen& chosen);     // publish, subscribe
void AddChannelCommand(CLI::App& app, Globals& globals, Chosen& chosen);    // channel
void AddCertCommand(CLI::App& app, Globals& globals, Chosen& chosen);       // cert
void AddRevokeCommand(CLI::App& app, Globals& globals, Chosen& chosen);     // revoke
void AddTokenCommands(CLI::App& app, Globals& globals, Chosen& chosen);     // token
void AddDocumentCommands(CLI::App& app, Globals& globals, Chosen& chosen);  // record, message
void AddStatusCommand(CLI::App& app, Globals& globals, Chosen& chosen);     // status
void AddDoctorCommand(CLI::App& app, Globals& globals, Chosen& chosen);     // doctor
void AddUpCommand(CLI::App& app, Globals& globals, Chosen& chosen);         // up

// --former-key, of whatever opens sealed messages.
void AddFormerKeyOption(CLI::App* command, std::vector<std::string>* target);

// --priority, of whatever a gateway that cannot keep up may refuse.
void AddPriorityOption(CLI::App* command, sdk::Priority* target);

// The whole program.
int Main(int argc, char** argv);

// Writes a file in one step and onto the disk, so that whoever reads it meanwhile, or after a crash, sees the old
// content or the new. Unavailable (STORAGE).
[[nodiscard]] absl::Status WriteFileAtOnce(const std::string& path, absl::string_view content);

// Reads a file, "-" being standard input. InvalidArgument (TOO_LARGE) over `max` bytes, NotFound or PermissionDenied as
// the system says.
[[nodiscard]] absl::StatusOr<std::string> ReadInput(const std::string& path, size_t max);

}  // namespace dotagent::cli

#endif  // DOTAGENT_CLI_COMMAND_H_
