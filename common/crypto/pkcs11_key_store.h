// The key store inside a PKCS#11 token (key_store.h): keys are made or put there as not extractable, and sign there.
//
// Reads what the modules of today hold: CKK_EC_EDWARDS keys, whose public point is a DER OCTET STRING (3.0), or 32
// bytes as they are (2.40 errata).
#ifndef DOTAGENT_COMMON_CRYPTO_PKCS11_KEY_STORE_H_
#define DOTAGENT_COMMON_CRYPTO_PKCS11_KEY_STORE_H_

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "common/crypto/key_address.h"
#include "common/crypto/key_store.h"
#include "common/crypto/secret.h"

namespace dotagent::crypto {

// Loads the module. Unavailable (KEY_STORE).
[[nodiscard]] absl::StatusOr<std::unique_ptr<KeyStore>> OpenPkcs11KeyStore(const Pkcs11KeyAddress& address,
                                                                           std::optional<SecretBytes> pin);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_PKCS11_KEY_STORE_H_
