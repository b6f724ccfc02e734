// Capability adverts, as they come, and one that holds the input, properly signed: no input crashes, what is refused is
// refused in one line, and what is accepted can be signed again to the same bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/capability/advert.h"
#include "common/identity/statement.h"
#include "tests/fuzz/identity_fixtures.h"

namespace dotagent::capability {
namespace {

void Check(absl::string_view statement, const crypto::Signer& key) {
  const auto advert = VerifyCapabilityAdvert(statement, identity::FuzzTime());
  if (!advert.ok()) {
    identity::CheckRefusal(advert.status());
    return;
  }
  // It may name no version that * holds: prereleases only.
  if (advert->versions.empty() && Offers(statement, *VersionRange::Parse("*"))) std::abort();
  if (advert->signer != key.public_key()) return;
  const AdvertFields fields{.agent = advert->agent,
                            .agent_name = advert->agent_name,
                            .capability = advert->capability,
                            .versions = advert->versions,
                            .lifetime = advert->expires - advert->signed_at};
  const auto again = SignCapabilityAdvert(key, fields, advert->signed_at);
  if (!again.ok() || *again != statement) std::abort();
}

}  // namespace
}  // namespace dotagent::capability

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent;  // NOLINT(google-build-using-namespace)
  static const identity::FuzzKeys keys;
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  capability::Check(input, keys.first);
  const auto statement =
      identity::SignStatement(keys.first, absl::string_view("dotagent capability advert v1\0", 30), input);
  capability::Check(statement->SerializeAsString(), keys.first);
  return 0;
}
