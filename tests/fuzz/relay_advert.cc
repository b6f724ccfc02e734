// Relay adverts, as they come, and one that holds the input, properly signed: no input crashes, what is refused is
// refused in one line, and what is accepted can be signed again to the same bytes.
#include "common/dht/relay_advert.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/identity/statement.h"
#include "tests/fuzz/identity_fixtures.h"

namespace dotagent::dht {
namespace {

void Check(absl::string_view statement, const crypto::Signer& key) {
  const auto advert = VerifyRelayAdvert(statement, identity::FuzzTime());
  if (!advert.ok()) {
    identity::CheckRefusal(advert.status());
    return;
  }
  if (RelayShard(advert->relay) >= kRelayShards) std::abort();
  if (advert->relay != key.public_key()) return;
  const auto again = SignRelayAdvert(key, *advert, advert->signed_at, advert->expires - advert->signed_at);
  if (!again.ok() || *again != statement) std::abort();
}

}  // namespace
}  // namespace dotagent::dht

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent;  // NOLINT(google-build-using-namespace)
  static const identity::FuzzKeys keys;
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  dht::Check(input, keys.first);
  const auto statement =
      identity::SignStatement(keys.first, absl::string_view("dotagent relay advert v1\0", 25), input);
  dht::Check(statement->SerializeAsString(), keys.first);
  return 0;
}
