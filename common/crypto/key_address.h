// Where a private key is, in text: what --key and --key-file take.
//
//   alice.pem                                              a PKCS#8 PEM file (key_file.h)
//   pkcs11:token=agents;object=alice?module-path=/usr/lib/softhsm/libsofthsm2.so
//                                                          inside a PKCS#11 token (RFC 7512)
//   tpm2:alice.tpm?tcti=device:/dev/tpmrm0                 a file that is sealed to a TPM 2.0
//
// Departs from RFC 7512: pin-value is refused (whoever lists processes would read the PIN), and so are attributes that
// choose a library by its name or version (module-path says which), unknown ones, and any attribute that comes twice.
// A path that begins with "pkcs11:" or "tpm2:" is written with "./" before it.
#ifndef DOTAGENT_COMMON_CRYPTO_KEY_ADDRESS_H_
#define DOTAGENT_COMMON_CRYPTO_KEY_ADDRESS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dotagent::crypto {

inline constexpr size_t kMaxKeyAddress = 4096;  // bytes

struct FileKeyAddress {
  std::string path;
};

// What is empty matches anything.
struct Pkcs11KeyAddress {
  std::string module_path;  // absolute; empty: p11-kit's proxy, which offers every module that the machine knows of
  std::string token;        // its label
  std::string manufacturer;
  std::string model;
  std::string serial;
  std::optional<uint64_t> slot_id;
  std::string object;      // the key's label
  std::string id;          // its CKA_ID, bytes
  std::string pin_source;  // path of a file with the PIN
};

struct TpmKeyAddress {
  std::string path;        // of the sealed file
  std::string tcti;        // how to reach the TPM, as tpm2-tss writes it; empty: what it finds by itself
  std::string pin_source;  // path of a file with the key's own password
};

using KeyAddress = std::variant<FileKeyAddress, Pkcs11KeyAddress, TpmKeyAddress>;

// InvalidArgument (BAD_KEY): says which part is wrong. Repeats no part that could be a PIN.
[[nodiscard]] absl::StatusOr<KeyAddress> ParseKeyAddress(absl::string_view text);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_KEY_ADDRESS_H_
