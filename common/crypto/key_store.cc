#include "common/crypto/key_store.h"

#include <cstddef>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/key_address.h"
#include "common/crypto/key_file.h"
#include "common/crypto/pkcs11_key_store.h"
#include "common/crypto/private_file.h"
#include "common/crypto/tpm.h"

namespace dotagent::crypto {
namespace {

constexpr size_t kMaxPinFile = 1024;

StoredKey InMemory(SigningKey key, KeyAttributes attributes) {
  auto shared = std::make_shared<const SigningKey>(std::move(key));
  return {.signer = shared, .secret = shared, .attributes = std::move(attributes)};
}

absl::StatusOr<SigningKey> CopyOf(const SigningKey& key) { return SigningKey::FromSeed(key.seed().view()); }

class FileKeyStore : public KeyStore {
 public:
  FileKeyStore(std::string path, std::optional<SecretBytes> passphrase)
      : path_(std::move(path)), passphrase_(std::move(passphrase)) {}

  absl::StatusOr<StoredKey> Open() override {
    ASSIGN_OR_RETURN(AgentKey key, ReadAgentKeyFile(path_, passphrase_));
    return InMemory(std::move(key.key), std::move(key.attributes));
  }
  absl::StatusOr<StoredKey> Generate(const KeyAttributes& attributes, Random& random) override {
    return Import(SigningKey::Generate(random), attributes);
  }
  absl::StatusOr<StoredKey> Import(const SigningKey& key, const KeyAttributes& attributes) override {
    RETURN_IF_ERROR(WriteKeyFile(path_, key, passphrase_, attributes));
    ASSIGN_OR_RETURN(SigningKey copy, CopyOf(key));
    return InMemory(std::move(copy), attributes);
  }

 private:
  const std::string path_;
  const std::optional<SecretBytes> passphrase_;
};

class TpmKeyStore : public KeyStore {
 public:
  TpmKeyStore(TpmKeyAddress address, std::optional<SecretBytes> password)
      : address_(std::move(address)), password_(std::move(password)) {}

  absl::StatusOr<StoredKey> Open() override {
    ASSIGN_OR_RETURN(const SecretBytes pem, ReadPrivateFile(address_.path, kMaxTpmKeyFile));
    const absl::StatusOr<TpmKeyFile> file = TpmKeyFromPem(pem.view());
    if (!file.ok()) return WithContext(file.status(), address_.path);
    ASSIGN_OR_RETURN(const std::unique_ptr<Tpm> tpm, Tpm::Connect(address_.tcti));
    const absl::StatusOr<SecretBytes> seed = tpm->Unseal(*file, password_);
    if (!seed.ok()) return WithContext(seed.status(), address_.path);
    absl::StatusOr<SigningKey> key = SigningKey::FromSeed(seed->view());
    if (!key.ok()) return WithContext(key.status(), address_.path);
    return InMemory(*std::move(key), {});
  }
  absl::StatusOr<StoredKey> Generate(const KeyAttributes& attributes, Random& random) override {
    return Import(SigningKey::Generate(random), attributes);
  }
  absl::StatusOr<StoredKey> Import(const SigningKey& key, const KeyAttributes& attributes) override {
    if (attributes != KeyAttributes()) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadKey,
                             "a file that a TPM seals keeps no agent id and no name with a key; leave them out");
    }
    ASSIGN_OR_RETURN(const std::unique_ptr<Tpm> tpm, Tpm::Connect(address_.tcti));
    ASSIGN_OR_RETURN(const TpmKeyFile file, tpm->Seal(key.seed(), password_));
    RETURN_IF_ERROR(WriteNewPrivateFile(address_.path, TpmKeyToPem(file)));
    ASSIGN_OR_RETURN(SigningKey copy, CopyOf(key));
    return InMemory(std::move(copy), {});
  }

 private:
  const TpmKeyAddress address_;
  const std::optional<SecretBytes> password_;
};

// `given`, or what the file holds, without its last line end.
absl::StatusOr<std::optional<SecretBytes>> SecretFrom(std::optional<SecretBytes> given, const std::string& pin_source) {
  if (given || pin_source.empty()) return given;
  const absl::StatusOr<SecretBytes> content = ReadPrivateFile(pin_source, kMaxPinFile, Readers::kOwnerAndGroup);
  if (!content.ok()) return WithContext(content.status(), "pin-source");
  absl::string_view pin = content->view();
  if (!pin.empty() && pin.back() == '\n') pin.remove_suffix(1);
  return std::optional<SecretBytes>(SecretBytes(pin));
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeyStore>> OpenKeyStore(absl::string_view address, std::optional<SecretBytes> secret) {
  ASSIGN_OR_RETURN(KeyAddress parsed, ParseKeyAddress(address));
  if (auto* file = std::get_if<FileKeyAddress>(&parsed)) {
    return std::make_unique<FileKeyStore>(std::move(file->path), std::move(secret));
  }
  if (auto* tpm = std::get_if<TpmKeyAddress>(&parsed)) {
    ASSIGN_OR_RETURN(std::optional<SecretBytes> password, SecretFrom(std::move(secret), tpm->pin_source));
    return std::make_unique<TpmKeyStore>(std::move(*tpm), std::move(password));
  }
  const auto& token = std::get<Pkcs11KeyAddress>(parsed);
  ASSIGN_OR_RETURN(std::optional<SecretBytes> pin, SecretFrom(std::move(secret), token.pin_source));
  return OpenPkcs11KeyStore(token, std::move(pin));
}

bool IsKeyFile(absl::string_view address) {
  const absl::StatusOr<KeyAddress> parsed = ParseKeyAddress(address);
  return parsed.ok() && std::holds_alternative<FileKeyAddress>(*parsed);
}

}  // namespace dotagent::crypto
