#include "tests/unit/dht/fixtures.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/capability/advert.h"
#include "common/dht/relay_advert.h"
#include "common/identity/revocation.h"
#include "common/record/name.h"
#include "common/record/record.h"

namespace dotagent::dht {

crypto::SigningKey KeyFromSeed(uint64_t seed) {
  SeededRandom random(seed);
  return crypto::SigningKey::Generate(random);
}

Contact ContactFromSeed(uint64_t seed) {
  const crypto::PublicKey key = KeyFromSeed(seed).public_key();
  return Contact{Id::OfNode(key), key, {absl::StrCat("/ip4/192.0.2.1/tcp/", 1024 + seed % 60000)}};
}

Item SignedRecord(const crypto::Signer& key, absl::string_view name, absl::Time when, int64_t ttl_seconds) {
  const record::RecordFields fields{.name = std::string(name),
                                    .addresses = {"/ip4/192.0.2.7/tcp/4001"},
                                    .protocols = {"/dotagent/1.0.0"},
                                    .timestamp = when,
                                    .ttl_seconds = ttl_seconds};
  return Item{record::Record::Sign(fields, key).value().json(), ""};
}

Value RecordOf(const crypto::Signer& key, absl::string_view name, absl::Time when, int64_t ttl_seconds) {
  return ValueTypes().Of(ValueKind::kRecord).Validate(SignedRecord(key, name, when, ttl_seconds), when).value();
}

Item SignedRevocation(const crypto::Signer& key, absl::Time when) {
  return Item{identity::SignRevocation(key, "key was stolen", when).value(), ""};
}

Value RevocationOf(const crypto::Signer& key, absl::Time when) {
  return ValueTypes().Of(ValueKind::kRevocation).Validate(SignedRevocation(key, when), when).value();
}

Item SignedCapability(const crypto::Signer& key, absl::string_view capability, absl::Time when,
                      std::vector<std::string> versions, absl::Duration lifetime) {
  const capability::AdvertFields fields{.agent = identity::AgentId::FromFirstKey(key.public_key()),
                                        .agent_name = "somebody.agent",
                                        .capability = std::string(capability),
                                        .versions = std::move(versions),
                                        .lifetime = lifetime};
  return Item{capability::SignCapabilityAdvert(key, fields, when).value(), ""};
}

Value CapabilityOf(const crypto::Signer& key, absl::string_view capability, absl::Time when, absl::Duration lifetime) {
  const Item item = SignedCapability(key, capability, when, {"1.0.0"}, lifetime);
  return ValueTypes().Of(ValueKind::kCapabilityAdvert).Validate(item, when).value();
}

Id KeyOfCapability(absl::string_view capability) {
  return Id::FromBytes(capability::CapabilityKey(capability)).value();
}

Item SignedRelay(const crypto::Signer& key, absl::Time when, absl::Duration lifetime) {
  const RelayAdvert advert{.addresses = {"/ip4/192.0.2.9/tcp/4001"}, .max_circuits = 100, .load_permille = 250};
  return Item{SignRelayAdvert(key, advert, when, lifetime).value(), ""};
}

Id KeyOfName(absl::string_view name) { return Id::FromBytes(record::Name::Parse(name).value().DhtKey()).value(); }

Item Damaged(const Item& item, size_t index) {
  Item damaged = item;
  damaged.bytes[index] = static_cast<char>(damaged.bytes[index] ^ 1);
  return damaged;
}

Id RandomId(Random& random) { return Id::FromBytes(random.Bytes(32)).value(); }

}  // namespace dotagent::dht
