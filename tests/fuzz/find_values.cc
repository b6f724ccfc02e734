// Pages of many owners' values, and questions for them, as they come off the wire: no input crashes, what is refused is
// refused in one line, and what is accepted is within the limits and says itself again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/dht/wire.h"
#include "tests/fuzz/identity_fixtures.h"

namespace dotagent::dht {
namespace {

void CheckPage(const ValuesAnswer& page) {
  size_t size = 0;
  for (const Item& item : page.items) size += item.bytes.size() + item.proof.size();
  if (page.items.size() > kMaxPageValues || (size > kMaxPageBytes && page.items.size() > 1)) std::abort();
  const std::string encoded = EncodeResponse(Response{page});
  const auto again = DecodeResponse(encoded);
  if (!again.ok() || EncodeResponse(*again) != encoded) std::abort();
}

}  // namespace
}  // namespace dotagent::dht

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent;  // NOLINT(google-build-using-namespace)
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto response = dht::DecodeResponse(input);
  if (!response.ok()) {
    identity::CheckRefusal(response.status());
  } else if (const auto* page = std::get_if<dht::ValuesAnswer>(&response->answer)) {
    dht::CheckPage(*page);
  }
  const auto request = dht::DecodeRequest(input);
  if (!request.ok()) {
    identity::CheckRefusal(request.status());
  } else if (std::holds_alternative<dht::FindValuesCall>(request->call)) {
    const std::string encoded = dht::EncodeRequest(*request);
    const auto again = dht::DecodeRequest(encoded);
    if (!again.ok() || dht::EncodeRequest(*again) != encoded) std::abort();
  }
  return 0;
}
