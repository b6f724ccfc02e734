// Addresses of keys, and the files that a TPM seals: no input crashes, what is refused has the reason BAD_KEY, and a
// sealed file that is read is written and read again as the same.
#include "common/crypto/key_address.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/tpm_key_file.h"

namespace dotagent::crypto {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckAddress(absl::string_view text) {
  const absl::StatusOr<KeyAddress> address = ParseKeyAddress(text);
  if (!address.ok()) return Require(ReasonOf(address.status()) == reason::kBadKey);
  if (const auto* token = std::get_if<Pkcs11KeyAddress>(&*address)) {
    Require(token->module_path.empty() || token->module_path.front() == '/');
    Require(token->pin_source.empty() || token->pin_source.front() == '/');
    Require(!absl::StrContains(token->object, '\0') && !absl::StrContains(token->module_path, '\0'));
  } else if (const auto* tpm = std::get_if<TpmKeyAddress>(&*address)) {
    Require(!tpm->path.empty() && !absl::StrContains(tpm->path, '\0') && !absl::StrContains(tpm->tcti, '\0'));
  }
}

void CheckSealedFile(absl::string_view pem) {
  const absl::StatusOr<TpmKeyFile> file = TpmKeyFromPem(pem);
  if (!file.ok()) return Require(ReasonOf(file.status()) == reason::kBadKey);
  const absl::StatusOr<TpmKeyFile> again = TpmKeyFromPem(TpmKeyToPem(*file));
  Require(again.ok() && again->empty_auth == file->empty_auth && again->parent == file->parent &&
          again->public_part == file->public_part && again->private_part == file->private_part);
}

}  // namespace
}  // namespace dotagent::crypto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent;          // NOLINT(google-build-using-namespace)
  using namespace dotagent::crypto;  // NOLINT(google-build-using-namespace)
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  CheckAddress(input);
  CheckAddress(absl::StrCat("pkcs11:", input));
  CheckAddress(absl::StrCat("tpm2:", input));
  CheckSealedFile(input);
  CheckSealedFile(absl::StrCat("-----BEGIN TSS2 PRIVATE KEY-----\n", Base64Encode(input.substr(0, 4096)),
                               "\n-----END TSS2 PRIVATE KEY-----\n"));
  return 0;
}
