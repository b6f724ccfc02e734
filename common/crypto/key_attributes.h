// What a key file says about its key beside the key: the agent-specific extension of PKCS#8 (specification §3.1), as
// attributes of RFC 5958, which other programs skip and keep.
//
//   AgentId   id-on-permanentIdentifier (1.3.6.1.5.5.7.8.3), the same PermanentIdentifier as in certificates
//             (docs/adr/0004): whose key it is once it is not the identity's first, and so does not hash to the AgentId
//   name      friendlyName (PKCS #9, 1.2.840.113549.1.9.20), a BMPString: the .agent name that it is meant for
//
// They are notes, not proofs: whoever can write the file can change them. A rotation chain proves the one, a record the
// other. Strangers' values that have another form are passed over, so that any PKCS#8 file can be read.
#ifndef DOTAGENT_COMMON_CRYPTO_KEY_ATTRIBUTES_H_
#define DOTAGENT_COMMON_CRYPTO_KEY_ATTRIBUTES_H_

#include <openssl/x509.h>

#include <string>

#include "absl/status/status.h"

namespace dotagent::crypto {

// A value.
struct KeyAttributes {
  std::string agent_id;  // 64 lower-case hexadecimal digits, or empty
  std::string name;      // 1 to 253 printable ASCII characters, no space; or empty

  friend bool operator==(const KeyAttributes&, const KeyAttributes&) = default;
};

// InvalidArgument (BAD_KEY) for values that are not as above.
[[nodiscard]] absl::Status CheckAttributes(const KeyAttributes& attributes);

// Puts what is not empty into `info`. CheckAlways that CheckAttributes holds.
void AddAttributes(const KeyAttributes& attributes, PKCS8_PRIV_KEY_INFO* info);

// Takes no more than the first attribute of each type, and that only with exactly one value.
[[nodiscard]] KeyAttributes AttributesOf(const PKCS8_PRIV_KEY_INFO& info);

}  // namespace dotagent::crypto

#endif  // DOTAGENT_COMMON_CRYPTO_KEY_ATTRIBUTES_H_
