// Records, as they come and signed again: no input crashes, and what is accepted verifies again in its own form.
#include "common/record/record.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "tests/fuzz/signed_again.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using dotagent::record::Record;
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const absl::Time now = dotagent::record::FuzzTime();
  const auto raw = Record::Verify(input, now);
  if (!raw.ok()) dotagent::record::CheckRefusal(raw.status());

  static const dotagent::crypto::SigningKey key = dotagent::record::FuzzKey();
  const auto json = dotagent::record::SignedAgain(input, key);
  if (!json) return 0;
  const auto record = Record::Verify(*json, now);
  if (!record.ok()) {
    dotagent::record::CheckRefusal(record.status());
    return 0;
  }
  const auto copy = Record::Sign({.name = record->name().text(),
                                  .addresses = record->addresses(),
                                  .protocols = record->protocols(),
                                  .timestamp = record->timestamp(),
                                  .ttl_seconds = record->ttl() / absl::Seconds(1)},
                                 key);
  // The copy's timestamp has milliseconds, so that it may be a few bytes longer.
  if (!copy.ok() && json->size() + 64 < dotagent::record::kMaxRecordSize) std::abort();
  return 0;
}
