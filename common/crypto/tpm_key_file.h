// Files with what a TPM 2.0 has sealed: PEM "TSS2 PRIVATE KEY" around the TPMKey of draft-bottomley-tpm2-keys, type
// id-sealedkey, as other tools read and write them.
//
//   TPMKey ::= SEQUENCE { type OBJECT IDENTIFIER (2.23.133.10.1.5), emptyAuth [0] EXPLICIT BOOLEAN OPTIONAL,
//                         parent INTEGER, pubkey OCTET STRING (TPM2B_PUBLIC), privkey OCTET STRING (TPM2B_PRIVATE) }
//
// Departs from the draft: policies, secrets and imported keys ([1] to [5]) are refused; a file of ours has none.
#ifndef DOTAGENT_COMMON_CRYPTO_TPM_KEY_FILE_H_
#define DOTAGENT_COMMON_CRYPTO_TPM_KEY_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent::crypto {

inline constexpr size_t kMaxTpmKeyFile = 8192;  // bytes

// A value. Of no use without its TPM, so not a secret.
struct TpmKeyFile {
  bool empty_auth = true;        // it has no password
  uint32_t parent = 0x40000001;  // a TPM handle: the owner's hierarchy, or a persistent key
  std::string public_part;       // TPM2B_PUBLIC as the TPM marshals it
  std::string private_part;      // TPM2B_PRIVATE, encrypted by the parent
};

[[nodiscard]] std::string TpmKeyToPem(const TpmKeyFile& key);
// InvalidArgument (BAD_KEY): over 8 KiB, no such PEM, another type of key, damaged.
[[nodiscard]] absl::StatusOr<TpmKeyFile> TpmKeyFromPem(absl::string_view pem);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_TPM_KEY_FILE_H_
