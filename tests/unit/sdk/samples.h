// Keys and signed documents for the SDK's tests.
#ifndef DOTAGENT_TESTS_UNIT_SDK_SAMPLES_H_
#define DOTAGENT_TESTS_UNIT_SDK_SAMPLES_H_

#include <cstdint>
#include <string>

#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/record/message.h"
#include "common/record/record.h"

namespace dotagent::sdk {

inline crypto::SigningKey KeyFromSeed(uint64_t seed) {
  SeededRandom random(seed);
  return crypto::SigningKey::Generate(random);
}

inline std::string SignedRecord(const crypto::Signer& key, const std::string& name) {
  return record::Record::Sign({.name = name, .addresses = {}, .protocols = {}, .timestamp = absl::Now()}, key)
      .value()
      .json();
}

inline std::string SignedMessage(const crypto::Signer& key, const std::string& sender, const std::string& id,
                                 record::Json content = {{"text", "hello"}}) {
  return record::Message::Sign({.id = id,
                                .sender = sender,
                                .recipient = "bob.agent",
                                .timestamp = absl::Now(),
                                .content = std::move(content)},
                               key)
      .value()
      .json();
}

}  // namespace dotagent::sdk

#endif  // DOTAGENT_TESTS_UNIT_SDK_SAMPLES_H_
