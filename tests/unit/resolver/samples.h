// Signed records for the resolver's tests.
#ifndef DOTAGENT_TESTS_UNIT_RESOLVER_SAMPLES_H_
#define DOTAGENT_TESTS_UNIT_RESOLVER_SAMPLES_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/record/record.h"

namespace dotagent::resolver_service {

// Repeats from its seed.
inline crypto::SigningKey KeyFromSeed(uint64_t seed) {
  SeededRandom random(seed);
  return crypto::SigningKey::Generate(random);
}

inline record::Record SignedRecord(const crypto::Signer& key, const std::string& name, absl::Time when,
                                   int64_t ttl_seconds = record::kDefaultTtlSeconds) {
  return record::Record::Sign(
             {.name = name, .addresses = {}, .protocols = {}, .timestamp = when, .ttl_seconds = ttl_seconds}, key)
      .value();
}

inline record::Name NameOf(const std::string& text) { return record::Name::Parse(text).value(); }

}  // namespace dotagent::resolver_service

#endif  // DOTAGENT_TESTS_UNIT_RESOLVER_SAMPLES_H_
