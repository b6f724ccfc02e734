// Strict JSON: what is accepted has one canonical form, which reads back as the same value.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/record/canonical_json.h"
#include "tests/fuzz/signed_again.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using dotagent::record::CanonicalJson;
  using dotagent::record::ParseStrictJson;
  const auto value = ParseStrictJson({reinterpret_cast<const char*>(data), size});
  if (!value.ok()) {
    dotagent::record::CheckRefusal(value.status());
    return 0;
  }
  const auto text = CanonicalJson(*value);
  if (!text.ok()) std::abort();
  const auto again = ParseStrictJson(*text);
  if (!again.ok() || *again != *value || *CanonicalJson(*again) != *text) std::abort();
  return 0;
}
