// What it costs to decrypt a private key, told from the file alone. Whoever wrote the file chose it: without a limit,
// two billion iterations of PBKDF2 hold up who reads it for half an hour, and a cost of scrypt for days.
//
// Read are PKCS#8 files under PBES2 (RFC 8018) with PBKDF2 or scrypt (RFC 7914), which is what OpenSSL has written
// since 1.1.0; the schemes before it (PBES1 and PKCS#12's) are not.
#ifndef DOTAGENT_COMMON_CRYPTO_KEY_ENCRYPTION_H_
#define DOTAGENT_COMMON_CRYPTO_KEY_ENCRYPTION_H_

#include <openssl/x509.h>

#include <cstdint>

#include "absl/status/status.h"

namespace dotagent::crypto {

struct KeyEncryptionLimits {
  uint64_t pbkdf2_iterations = 10'000'000;  // some seconds
  uint64_t scrypt_cost = 1 << 23;           // N·r·p; as much
  uint64_t scrypt_bytes = 32 << 20;         // OpenSSL's own limit
};

// InvalidArgument (BAD_KEY), saying how to encrypt the key anew, if `encrypted` is none of the above, is damaged, or
// costs more. Costs nothing itself.
[[nodiscard]] absl::Status CheckKeyEncryption(const X509_SIG& encrypted, const KeyEncryptionLimits& limits = {});

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_KEY_ENCRYPTION_H_
