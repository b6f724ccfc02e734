// PEM files with certificates, as agents and registrars are given them: no input crashes, what is refused is refused in
// one line, and what is read is written and read again as the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/bytes.h"
#include "common/identity/certificate.h"
#include "common/identity/name_certificate.h"
#include "tests/fuzz/identity_fixtures.h"

namespace dotagent::identity {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckNameCertificate(absl::string_view pem) {
  const auto der = NameCertificateFromPem(pem);
  if (!der.ok()) return CheckRefusal(der.status());
  const auto again = NameCertificateFromPem(NameCertificateToPem(*der));
  Require(again.ok() && *again == *der);
  const auto text = ReadNameCertificate(*der);
  const auto end = EndOfNameCertificate(*der);
  if (!end.ok()) CheckRefusal(end.status());
  if (!text.ok()) return CheckRefusal(text.status());
  Require(end.ok() && *end == text->says.not_after);
}

// A root that is taken is this key's, and goes on to be it.
void CheckRoot(absl::string_view pem, const FuzzKeys& keys) {
  const auto issuer = Issuer::Load(keys.first, {}, pem);
  if (!issuer.ok()) return CheckRefusal(issuer.status());
  Require(Issuer::Load(keys.first, {}, issuer->root_pem()).ok() && !Issuer::Load(keys.second, {}, pem).ok());
}

}  // namespace
}  // namespace dotagent::identity

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent;            // NOLINT(google-build-using-namespace)
  using namespace dotagent::identity;  // NOLINT(google-build-using-namespace)
  static const FuzzKeys keys;
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  // As they come, and as the DER within.
  for (const std::string& pem :
       {std::string(input), absl::StrCat("-----BEGIN CERTIFICATE-----\n", Base64Encode(input.substr(0, 4096)),
                                         "\n-----END CERTIFICATE-----\n")}) {
    CheckNameCertificate(pem);
    CheckRoot(pem, keys);
  }
  return 0;
}
