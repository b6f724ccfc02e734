// Valid documents for tests to start from, and a way to break them and sign them again.
#ifndef DOTAGENT_TESTS_UNIT_RECORD_SAMPLES_H_
#define DOTAGENT_TESTS_UNIT_RECORD_SAMPLES_H_

#include <gtest/gtest.h>

#include <string>

#include "common/base/bytes.h"
#include "common/crypto/keys.h"
#include "common/record/canonical_json.h"
#include "common/record/message.h"
#include "common/record/record.h"

namespace dotagent::record {

// 2026-11-23T12:00:00Z
inline absl::Time SampleTime() { return absl::FromCivil(absl::CivilSecond(2026, 11, 23, 12), absl::UTCTimeZone()); }

inline crypto::SigningKey SampleKey(char fill = 'k') { return *crypto::SigningKey::FromSeed(std::string(32, fill)); }

inline RecordFields SampleRecordFields() {
  return {.name = "bob.agent",
          .addresses = {"/ip4/192.0.2.1/tcp/4001", "/dns/gateway.example/tcp/4001"},
          .protocols = {"/dotagent/message/1.0.0"},
          .timestamp = SampleTime(),
          .ttl_seconds = 3600};
}

inline MessageFields SampleMessageFields() {
  return {.id = "0123456789abcdef",
          .type = MessageType::kRequest,
          .sender = "alice.agent",
          .recipient = "bob.agent",
          .timestamp = SampleTime(),
          .content = {{"text", "hello"}, {"n", 1.5}}};
}

// Signs what is there, right or wrong, by its own reading of the rule.
inline std::string SignAnyway(Json document, const crypto::SigningKey& key) {
  document.erase("signature");
  const auto bytes = CanonicalJson(document);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  document["signature"] = Base64Encode(*key.Sign(*bytes));
  return document.dump();
}

}  // namespace dotagent::record

#endif  // DOTAGENT_TESTS_UNIT_RECORD_SAMPLES_H_
