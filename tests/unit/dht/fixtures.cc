#include "tests/unit/dht/fixtures.h"

#include "absl/strings/str_cat.h"
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

Id KeyOfName(absl::string_view name) { return Id::FromBytes(record::Name::Parse(name).value().DhtKey()).value(); }

Item Damaged(const Item& item, size_t index) {
  Item damaged = item;
  damaged.bytes[index] = static_cast<char>(damaged.bytes[index] ^ 1);
  return damaged;
}

Id RandomId(Random& random) { return Id::FromBytes(random.Bytes(32)).value(); }

}  // namespace dotagent::dht
