// Private keys on disk: PKCS#8 PEM (RFC 5958, RFC 8410), as `openssl pkey` reads and writes, plain or encrypted (PBES2:
// scrypt, AES-256-CBC), with what key_attributes.h adds.
//
// Defends against other users of the machine: files are written with mode 0600 in one atomic step, and a file that
// others can read is refused, as ssh does. And against files that cost too much to decrypt (key_encryption.h).
#ifndef DOTAGENT_COMMON_CRYPTO_KEY_FILE_H_
#define DOTAGENT_COMMON_CRYPTO_KEY_FILE_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/random.h"
#include "common/crypto/key_attributes.h"
#include "common/crypto/keys.h"

namespace dotagent::crypto {

// A key and what its file says about it. Movable.
struct AgentKey {
  SigningKey key;
  KeyAttributes attributes;
};

// A passphrase of 1 to 1024 bytes costs about 0.25 s of scrypt, here and when the key is read. InvalidArgument
// (BAD_KEY) for another size, and as CheckAttributes; std::nullopt writes the key in the clear. The caller wipes the
// result.
[[nodiscard]] absl::StatusOr<std::string> KeyToPem(const SigningKey& key, const std::optional<SecretBytes>& passphrase,
                                                   const KeyAttributes& attributes = {});

// `pem` may hold other text around the key. FailedPrecondition (BAD_KEY) with what to do if it is encrypted and there
// is no passphrase, or the passphrase is wrong; InvalidArgument (BAD_KEY) if it is no Ed25519 private key, and as
// CheckKeyEncryption.
[[nodiscard]] absl::StatusOr<SigningKey> KeyFromPem(absl::string_view pem,
                                                    const std::optional<SecretBytes>& passphrase);
[[nodiscard]] absl::StatusOr<AgentKey> AgentKeyFromPem(absl::string_view pem,
                                                       const std::optional<SecretBytes>& passphrase);

// SubjectPublicKeyInfo PEM, as `openssl pkey -pubout` writes.
[[nodiscard]] std::string PublicKeyToPem(const PublicKey& key);

// Writes a new key file, mode 0600, and returns once it is on disk. AlreadyExists if there is a file: a key is never
// overwritten. Other failures of the disk have the errno's code and the reason STORAGE.
[[nodiscard]] absl::Status WriteKeyFile(const std::string& path, const SigningKey& key,
                                        const std::optional<SecretBytes>& passphrase,
                                        const KeyAttributes& attributes = {});

// Reads a key file. NotFound, PermissionDenied (readable by group or others: says to chmod 600), or as KeyFromPem; at
// most 64 KiB are read, and only from a regular file.
[[nodiscard]] absl::StatusOr<SigningKey> ReadKeyFile(const std::string& path,
                                                     const std::optional<SecretBytes>& passphrase);
[[nodiscard]] absl::StatusOr<AgentKey> ReadAgentKeyFile(const std::string& path,
                                                        const std::optional<SecretBytes>& passphrase);

// Reads the node key at `path`, making one first if there is none: what a service does at its start.
[[nodiscard]] absl::StatusOr<SigningKey> ReadOrCreateKeyFile(const std::string& path, Random& random);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_KEY_FILE_H_
