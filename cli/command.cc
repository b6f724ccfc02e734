#include "cli/command.h"

#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/exit_status.h"
#include "cli/report.h"
#include "common/base/config.h"
#include "common/base/status.h"
#include "common/crypto/key_store.h"
#include "common/crypto/key_store_error.h"
#include "common/crypto/tpm.h"
#include "common/identity/name_certificate.h"
#include "common/identity/rotation.h"

namespace dotagent::cli {
namespace {

constexpr size_t kMaxPassphrase = 1024;
constexpr size_t kMaxPem = 16 * 1024;

std::string DefaultHome() {
  if (const char* config = std::getenv("XDG_CONFIG_HOME"); config != nullptr && *config != '\0')
    return absl::StrCat(config, "/dotagent");
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return absl::StrCat(home, "/.config/dotagent");
  return ".dotagent";
}

// Reads a line from the terminal without showing it. std::nullopt if there is no terminal.
std::optional<crypto::SecretBytes> AskPassphrase(const std::string& path) {
  if (isatty(STDIN_FILENO) != 1) return std::nullopt;
  termios shown{};
  if (tcgetattr(STDIN_FILENO, &shown) != 0) return std::nullopt;
  termios hidden = shown;
  hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  std::fprintf(stderr, "Passphrase of %s: ", path.c_str());
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  std::string line;
  std::getline(std::cin, line);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
  std::fputc('\n', stderr);
  crypto::SecretBytes secret{absl::string_view(line)};
  crypto::Wipe(line.data(), line.size());
  return secret;
}

// The arguments, last first as CLI11 takes them, behind those that the environment gives: so a flag beats a variable,
// which beats the file. (CLI11's own order lets the file beat the variable.)
std::vector<std::string> WithEnvironment(const CLI::App& app, int argc, const char* const* argv) {
  std::vector<std::string> arguments(std::make_reverse_iterator(argv + argc), std::make_reverse_iterator(argv + 1));
  for (const CLI::Option* option : app.get_options()) {
    const std::string variable = option->get_envname();
    const char* value = variable.empty() ? nullptr : std::getenv(variable.c_str());
    if (value != nullptr) arguments.push_back(absl::StrCat("--", option->get_lnames().front(), "=", value));
  }
  return arguments;
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "dotagent: %s\n", Printable(std::string(status.message())).c_str());
  return ExitStatusFor(status);
}

}  // namespace

std::string Globals::KnownNodes() const {
  std::error_code ignored;  // a home that cannot be made shows when the file is written
  std::filesystem::create_directories(home, ignored);
  return absl::StrCat(home, "/known_nodes");
}

absl::StatusOr<std::optional<crypto::SecretBytes>> Globals::Passphrase() const {
  if (!passphrase_file.empty()) {
    ASSIGN_OR_RETURN(std::string text, ReadInput(passphrase_file, kMaxPassphrase));
    if (!text.empty() && text.back() == '\n') text.pop_back();
    crypto::SecretBytes secret{absl::string_view(text)};
    crypto::Wipe(text.data(), text.size());
    return std::optional<crypto::SecretBytes>(std::move(secret));
  }
  if (const char* text = std::getenv("DOTAGENT_PASSPHRASE"); text != nullptr) {
    return std::optional<crypto::SecretBytes>(crypto::SecretBytes(absl::string_view(text)));
  }
  return std::optional<crypto::SecretBytes>();
}

absl::StatusOr<crypto::StoredKey> Globals::OpenKey(const std::string& address) const {
  ASSIGN_OR_RETURN(std::optional<crypto::SecretBytes> passphrase, Passphrase());
  const bool given = passphrase.has_value();
  ASSIGN_OR_RETURN(std::unique_ptr<crypto::KeyStore> store, crypto::OpenKeyStore(address, std::move(passphrase)));
  absl::StatusOr<crypto::StoredKey> key = store->Open();
  if (absl::IsFailedPrecondition(key.status()) && ReasonOf(key.status()) == reason::kBadKey && !given) {
    passphrase = AskPassphrase(address);
    if (passphrase) {
      ASSIGN_OR_RETURN(store, crypto::OpenKeyStore(address, std::move(passphrase)));
      key = store->Open();
    }
  }
  return key;
}

absl::StatusOr<crypto::StoredKey> Globals::Stored() const {
  if (key_address.empty()) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, reason::kBadKey,
        "this command needs a key: give --key FILE or set DOTAGENT_KEY; `dotagent keygen FILE` makes one");
  }
  return OpenKey(key_address);
}

absl::StatusOr<std::shared_ptr<const crypto::Signer>> Globals::Key() const {
  ASSIGN_OR_RETURN(crypto::StoredKey stored, Stored());
  return std::move(stored.signer);
}

void ProofFiles::AddTo(CLI::App* command) {
  command->add_option(
      "--certificate", certificate,
      "PEM file with a registrar's certificate for the name, where names need one (dotagent cert request)");
  command->add_option("--rotation-chain", rotation_chain,
                      "File with the agent's rotation chain, where the key is not its first");
}

absl::StatusOr<record::NameProof> ProofFiles::Read() const {
  record::NameProof proof;
  if (!certificate.empty()) {
    ASSIGN_OR_RETURN(const std::string pem, ReadInput(certificate, kMaxPem));
    auto der = identity::NameCertificateFromPem(pem);
    if (!der.ok()) return WithContext(der.status(), certificate);
    proof.name_certificate = *std::move(der);
  }
  if (!rotation_chain.empty()) {
    ASSIGN_OR_RETURN(proof.rotation_chain, ReadInput(rotation_chain, identity::kMaxRotationChainSize));
  }
  return proof;
}

absl::StatusOr<std::unique_ptr<sdk::Agent>> Globals::Connect(const ProofFiles& proof,
                                                             const std::vector<std::string>& former_keys) const {
  // A file that cannot be read is the caller's mistake, before any gateway is asked.
  RETURN_IF_ERROR(proof.Read().status());
  ASSIGN_OR_RETURN(std::shared_ptr<const crypto::Signer> signer, Key());
  std::vector<std::shared_ptr<const crypto::SigningKey>> opening;
  for (const std::string& address : former_keys) {
    ASSIGN_OR_RETURN(crypto::StoredKey former, OpenKey(address));
    if (former.secret == nullptr) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kKeyStore,
                             absl::StrCat(address, " cannot leave its token, and so opens no sealed messages"));
    }
    opening.push_back(std::move(former.secret));
  }
  return ConnectWith(std::move(signer), proof, std::move(opening));
}

absl::StatusOr<std::unique_ptr<sdk::Agent>> Globals::ConnectWith(
    std::shared_ptr<const crypto::Signer> signer, const ProofFiles& proof,
    std::vector<std::shared_ptr<const crypto::SigningKey>> former_keys) const {
  return sdk::Agent::Connect({.gateway = {.gateway = gateway,
                                          .known_nodes = KnownNodes(),
                                          .timeout = absl::Seconds(static_cast<double>(timeout_s))},
                              .name = name,
                              .proof = [proof] { return proof.Read(); },
                              .former_keys = std::move(former_keys)},
                             std::move(signer));
}

CLI::App* AddCommand(CLI::App* parent, const std::string& name, const std::string& description,
                     const std::vector<std::string>& examples) {
  CLI::App* command = parent->add_subcommand(name, description);
  if (!examples.empty()) command->footer(absl::StrCat("Examples:\n  ", absl::StrJoin(examples, "\n  ")));
  command->fallthrough();  // the global options may stand after the command too
  return command;
}

void AddFormerKeyOption(CLI::App* command, std::vector<std::string>* target) {
  command->add_option(
      "--former-key", *target,
      "A key that the agent had before it rotated, likewise, to open what was sealed to it; repeatable");
}

void AddPriorityOption(CLI::App* command, sdk::Priority* target) {
  using sdk::Priority;
  const std::map<std::string, Priority> names = {{"low", Priority::kLow},
                                                 {"normal", Priority::kNormal},
                                                 {"high", Priority::kHigh},
                                                 {"critical", Priority::kCritical}};
  command
      ->add_option("--priority", *target,
                   "low, normal, high or critical: what a gateway that cannot keep up refuses last; high and critical "
                   "ones take 2 and 4 times as much of the agent's rate (default: normal)")
      ->transform(CLI::CheckedTransformer(names).description(""));
}

absl::Status WriteFileAtOnce(const std::string& path, absl::string_view content) {
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".new");
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  bool written = file != nullptr && std::fwrite(content.data(), 1, content.size(), file) == content.size() &&
                 std::fflush(file) == 0 && fsync(fileno(file)) == 0;
  if (file != nullptr) written = std::fclose(file) == 0 && written;
  if (written && std::rename(temporary.c_str(), path.c_str()) == 0) return absl::OkStatus();
  const int error = errno;
  std::remove(temporary.c_str());
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kStorage,
                         absl::StrCat("cannot write ", path, ": ", std::strerror(error)));
}

absl::StatusOr<std::string> ReadInput(const std::string& path, size_t max) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened(path == "-" ? nullptr : std::fopen(path.c_str(), "rb"),
                                                               [](std::FILE* f) { return f ? std::fclose(f) : 0; });
  if (path != "-" && !opened) {
    return absl::Status(errno == ENOENT ? absl::StatusCode::kNotFound : absl::StatusCode::kPermissionDenied,
                        absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  }
  std::FILE* file = opened ? opened.get() : stdin;
  std::string text(max + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  if (std::ferror(file) != 0) {
    if (errno == EISDIR) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, kBadArgument,
                             absl::StrCat(path, " is a folder; name a file in it"));
    }
    return absl::UnavailableError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  }
  if (text.size() > max) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                           absl::StrCat(path, " is larger than the ", max, " bytes that are allowed here"));
  }
  return text;
}

int Main(int argc, char** argv) {
  crypto::SilenceTpmLibrary();
  Globals globals;
  globals.home = DefaultHome();
  Chosen chosen;

  CLI::App app("dotagent: names, messages and encrypted channels for autonomous agents", "dotagent");
  app.footer(
      "Exit status: 0 done, 1 failed or not valid, 2 wrong usage, 3 not found, 4 refused, 5 unreachable, 6 "
      "contested.\nStart a "
      "network on this machine with `dotagent up`.");
  app.set_version_flag("--version", Version());
  app.set_config("--config", "", "TOML file with these options")->envname("DOTAGENT_CONFIG");
  app.option_defaults()->take_last();
  app.add_option("--home", globals.home, "Folder for what is remembered, such as gateways' keys")
      ->envname("DOTAGENT_HOME")
      ->capture_default_str();
  app.add_option("--gateway", globals.gateway, "Gateway, as host:port or PEER_ID@host:port")
      ->envname("DOTAGENT_GATEWAY")
      ->capture_default_str();
  app.add_option("--identity", globals.identity, "Identity service, likewise")
      ->envname("DOTAGENT_IDENTITY")
      ->capture_default_str();
  app.add_option("--key", globals.key_address, "The agent's private key: a PEM file, pkcs11:… (RFC 7512) or tpm2:FILE")
      ->envname("DOTAGENT_KEY");
  app.add_option("--name", globals.name, "The agent's own name, such as alice.agent")->envname("DOTAGENT_NAME");
  app.add_option("--passphrase-file", globals.passphrase_file,
                 "File with the key's passphrase (or set DOTAGENT_PASSPHRASE)")
      ->envname("DOTAGENT_PASSPHRASE_FILE");
  app.add_option("--timeout", globals.timeout_s, "Seconds to wait for an answer")
      ->envname("DOTAGENT_TIMEOUT")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600));
  app.add_flag("--json", globals.json, "Print JSON")->envname("DOTAGENT_JSON");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.require_subcommand(1);
  AddKeyCommands(app, globals, chosen);
  AddKeyGroup(app, globals, chosen);
  AddRegisterCommand(app, globals, chosen);
  AddResolveCommand(app, globals, chosen);
  AddMessageCommands(app, globals, chosen);
  AddTopicCommands(app, globals, chosen);
  AddChannelCommand(app, globals, chosen);
  AddCertCommand(app, globals, chosen);
  AddRevokeCommand(app, globals, chosen);
  AddTokenCommands(app, globals, chosen);
  AddDocumentCommands(app, globals, chosen);
  AddStatusCommand(app, globals, chosen);
  AddDoctorCommand(app, globals, chosen);
  AddUpCommand(app, globals, chosen);

  try {
    app.parse(WithEnvironment(app, argc, argv));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success))
      return app.exit(error);  // --help, --version
    std::fprintf(stderr, "dotagent: %s; `dotagent --help` lists what there is\n", Printable(error.what()).c_str());
    return kUsage;
  }
  const absl::StatusOr<int> result = chosen.run();
  return result.ok() ? *result : Fail(result.status());
}

}  // namespace dotagent::cli
