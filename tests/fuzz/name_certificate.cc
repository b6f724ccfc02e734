// Name certificates, as they come and signed by the registrar: no input crashes, and what is accepted names a good key
// and a good name.
#include "common/identity/name_certificate.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "common/identity/certificate_builder.h"
#include "common/identity/certificate_names.h"
#include "common/identity/der.h"
#include "tests/fuzz/identity_fixtures.h"

namespace dotagent::identity {
namespace {

void CheckCertificate(absl::string_view bytes, const std::vector<crypto::PublicKey>& registrars) {
  const auto certificate = VerifyNameCertificate(bytes, registrars, FuzzTime());
  const auto text = ReadNameCertificate(bytes);
  if (!text.ok()) CheckRefusal(text.status());
  if (!certificate.ok()) {
    CheckRefusal(certificate.status());
    return;
  }
  // What verifies can be read, as the same.
  if (!text.ok() || text->says.name != certificate->name || text->says.key != certificate->key) std::abort();
  if (KeyBytesOfNameCertificate(bytes).value_or("") != certificate->key.bytes()) std::abort();
  const auto again = VerifyNameCertificateFor(certificate->key, bytes, registrars, FuzzTime());
  if (!again.ok() || again->name != certificate->name || !CheckAgentName(again->name).ok() ||
      certificate->not_before > FuzzTime()) {
    std::abort();
  }
}

}  // namespace
}  // namespace dotagent::identity

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent::identity;  // NOLINT(google-build-using-namespace)
  static const FuzzKeys keys;
  static const std::vector<dotagent::crypto::PublicKey> registrars = {keys.first.public_key()};
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  CheckCertificate(input, registrars);
  // The signed part of a whole certificate, or else the input as the signed part.
  DerReader outer(input);
  DerReader fields = outer.Enter(der::kSequence);
  const absl::string_view part = fields.TakeWhole(der::kSequence);
  CheckCertificate(*SignedDer((part.empty() ? input : part).substr(0, 4096), keys.first), registrars);
  return 0;
}
