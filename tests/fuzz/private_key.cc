// Key files, as PEM and as the DER inside: no input crashes, and a key that is read is written and read again as the
// same, with the same notes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/key_file.h"

namespace dotagent::crypto {
namespace {

void CheckPem(absl::string_view pem) {
  // Without a passphrase: what is encrypted is not decrypted, whose cost the file's writer chooses.
  const absl::StatusOr<AgentKey> key = AgentKeyFromPem(pem, std::nullopt);
  if (!key.ok()) {
    if (ReasonOf(key.status()) != reason::kBadKey) std::abort();
    return;
  }
  if (!CheckAttributes(key->attributes).ok()) std::abort();
  const std::string again = KeyToPem(key->key, std::nullopt, key->attributes).value();
  const absl::StatusOr<AgentKey> read = AgentKeyFromPem(again, std::nullopt);
  if (!read.ok() || read->key.public_key() != key->key.public_key() || read->attributes != key->attributes) {
    std::abort();
  }
}

}  // namespace
}  // namespace dotagent::crypto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent;  // NOLINT(google-build-using-namespace)
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  crypto::CheckPem(input);
  for (const char* label : {"PRIVATE KEY", "ENCRYPTED PRIVATE KEY"}) {
    crypto::CheckPem(
        absl::StrCat("-----BEGIN ", label, "-----\n", Base64Encode(input), "\n-----END ", label, "-----\n"));
  }
  return 0;
}
