// Names and addresses: text from strangers that ends up in keys, logs and dials.
#include "common/record/name.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/record/address.h"
#include "tests/fuzz/signed_again.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using dotagent::record::Name;
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const absl::Status address = dotagent::record::CheckAddress(input);
  if (!address.ok()) dotagent::record::CheckRefusal(address);
  const auto name = Name::Parse(input);
  if (!name.ok()) {
    dotagent::record::CheckRefusal(name.status());
    return 0;
  }
  const auto again = Name::Parse(name->text());
  if (!again.ok() || *again != *name || again->DhtKey() != name->DhtKey() || name->text().size() != size) std::abort();
  return 0;
}
