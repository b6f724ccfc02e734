// Keys, contacts and signed values for the DHT's tests.
#ifndef DOTAGENT_TESTS_UNIT_DHT_FIXTURES_H_
#define DOTAGENT_TESTS_UNIT_DHT_FIXTURES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/dht/types.h"
#include "common/dht/value_type.h"

namespace dotagent::dht {

// The instant at which tests start.
inline const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

// Repeats from its seed.
crypto::SigningKey KeyFromSeed(uint64_t seed);
// A server with one address.
Contact ContactFromSeed(uint64_t seed);

Item SignedRecord(const crypto::Signer& key, absl::string_view name, absl::Time when, int64_t ttl_seconds = 86400);
Value RecordOf(const crypto::Signer& key, absl::string_view name, absl::Time when, int64_t ttl_seconds = 86400);
Item SignedRevocation(const crypto::Signer& key, absl::Time when);
Value RevocationOf(const crypto::Signer& key, absl::Time when);
// By `key`, which is its identity's first. No versions: withdrawn.
Item SignedCapability(const crypto::Signer& key, absl::string_view capability, absl::Time when,
                      std::vector<std::string> versions = {"1.0.0"}, absl::Duration lifetime = absl::Hours(24));
Value CapabilityOf(const crypto::Signer& key, absl::string_view capability, absl::Time when,
                   absl::Duration lifetime = absl::Hours(24));
Id KeyOfCapability(absl::string_view capability);
Item SignedRelay(const crypto::Signer& key, absl::Time when, absl::Duration lifetime = absl::Hours(6));
Id KeyOfName(absl::string_view name);
Id RandomId(Random& random);
// A copy of `item` in which byte `index` of the value differs.
Item Damaged(const Item& item, size_t index);

}  // namespace dotagent::dht

#endif  // DOTAGENT_TESTS_UNIT_DHT_FIXTURES_H_
