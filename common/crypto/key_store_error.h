// The reason of errors of hardware that holds keys, next to those of common/base/status.h: a PKCS#11 module, a token or
// a TPM failed, is gone, is not installed, or has no such key.
#ifndef DOTAGENT_COMMON_CRYPTO_KEY_STORE_ERROR_H_
#define DOTAGENT_COMMON_CRYPTO_KEY_STORE_ERROR_H_

#include "absl/strings/string_view.h"

namespace dotagent::reason {

inline constexpr absl::string_view kKeyStore = "KEY_STORE";

}  // namespace dotagent::reason

#endif  // DOTAGENT_COMMON_CRYPTO_KEY_STORE_ERROR_H_
