// PKCS#10 requests, as they come and signed by a key that they may name: no input crashes, and what is accepted asks
// for a good name or none.
#include "common/identity/certificate_request.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/identity/certificate_builder.h"
#include "common/identity/certificate_names.h"
#include "common/identity/der.h"
#include "tests/fuzz/identity_fixtures.h"

namespace dotagent::identity {
namespace {

void CheckRequest(absl::string_view bytes) {
  const auto request = VerifyCertificateRequest(bytes);
  if (!request.ok()) {
    CheckRefusal(request.status());
    return;
  }
  if (!request->name.empty() && !CheckAgentName(request->name).ok()) std::abort();
}

}  // namespace
}  // namespace dotagent::identity

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent::identity;  // NOLINT(google-build-using-namespace)
  static const FuzzKeys keys;
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  CheckRequest(input);
  DerReader outer(input);
  DerReader fields = outer.Enter(der::kSequence);
  const absl::string_view part = fields.TakeWhole(der::kSequence);
  CheckRequest(*SignedDer((part.empty() ? input : part).substr(0, 8192), keys.first));
  return 0;
}
