// Libsodium, made ready. Every use of it in this room goes through EnsureSodium first: libsodium chooses its
// implementations for this processor, and fills the canary of its guarded memory, only there.
#ifndef DOTAGENT_COMMON_CRYPTO_SODIUM_H_
#define DOTAGENT_COMMON_CRYPTO_SODIUM_H_

#include <sodium.h>

#include "common/crypto/check.h"

namespace dotagent::crypto {

// Initialises libsodium once; afterwards costs one load. Thread-safe.
inline void EnsureSodium() {
  static const bool ready = sodium_init() >= 0;
  CheckAlways(ready, "libsodium does not start: does the kernel have getrandom(2) or /dev/urandom?");
}

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_SODIUM_H_
