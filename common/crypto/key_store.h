// Key stores: a place for one private key, whatever holds it, so that whoever signs need not know.
//
// Three kinds, chosen by the address (key_address.h): a file; a PKCS#11 token, which signs inside and never gives the
// key out; a file sealed to a TPM 2.0, which is of no use on another machine. (A TPM has no Ed25519: it unseals the key
// into locked memory, and signing happens here.) What a store needs beyond this program is loaded when it is used: the
// PKCS#11 module, or tpm2-tss. docs/adr/0016 says why.
//
// Defends against a copied disk (tokens; TPM), other users of the machine (private_file.h), and hardware that fails or
// lies: each failure is an error that names the module and what it answered, and a signature that does not verify is
// never given out, since a faulty one can give the key away.
//
//   ASSIGN_OR_RETURN(auto store, OpenKeyStore("pkcs11:token=agents;object=alice?module-path=/usr/lib/…", pin));
//   ASSIGN_OR_RETURN(const StoredKey key, store->Open());
//   ASSIGN_OR_RETURN(std::string signature, key.signer->Sign(message));
#ifndef DOTAGENT_COMMON_CRYPTO_KEY_STORE_H_
#define DOTAGENT_COMMON_CRYPTO_KEY_STORE_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/random.h"
#include "common/crypto/key_attributes.h"
#include "common/crypto/keys.h"

namespace dotagent::crypto {

// Shared by whoever signs; outlives its store.
struct StoredKey {
  std::shared_ptr<const Signer> signer;
  std::shared_ptr<const SigningKey> secret;  // the same key, where it can leave its store; null: it cannot
  KeyAttributes attributes;                  // of key files; empty elsewhere
};

// Thread-safe. Calls block on the disk, the token or the TPM.
//
// Errors of all calls: FailedPrecondition (BAD_KEY) if the passphrase, PIN or password is wrong or missing; Unavailable
// (KEY_STORE) if the module, token or TPM fails, is gone or is not installed; of files as key_file.h says.
class KeyStore {
 public:
  virtual ~KeyStore() = default;

  // The key that is there. NotFound if there is none (STORAGE for a file, KEY_STORE for a token); FailedPrecondition
  // (KEY_STORE) if the address fits several; InvalidArgument (BAD_KEY) if it is no Ed25519 key.
  [[nodiscard]] virtual absl::StatusOr<StoredKey> Open() = 0;

  // Makes a key there. AlreadyExists if there is one; InvalidArgument (BAD_KEY) if the address names no place of its
  // own, or for attributes where the store keeps none.
  [[nodiscard]] virtual absl::StatusOr<StoredKey> Generate(const KeyAttributes& attributes, Random& random) = 0;

  // Puts `key` there; as Generate.
  [[nodiscard]] virtual absl::StatusOr<StoredKey> Import(const SigningKey& key, const KeyAttributes& attributes) = 0;
};

// The store at `address`. `secret` is the passphrase of the file, the PIN of the token or the password of the sealed
// key; without it the address's pin-source is read. Does not look whether there is a key. InvalidArgument (BAD_KEY) as
// ParseKeyAddress; of a pin-source as ReadInput of a file.
[[nodiscard]] absl::StatusOr<std::unique_ptr<KeyStore>> OpenKeyStore(absl::string_view address,
                                                                     std::optional<SecretBytes> secret);

// True if `address` is a PKCS#8 file's, which may need a passphrase.
[[nodiscard]] bool IsKeyFile(absl::string_view address);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_KEY_STORE_H_
