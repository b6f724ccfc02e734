// What a node finds on its disk: any bytes in any of the DHT's tables, and real entries with some bytes changed. No
// input crashes it; what cannot be read is reported as damage and not served; what can be read is written again as it
// was.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/dht/value_store.h"
#include "common/dht/wire.h"
#include "common/record/record.h"
#include "common/storage/store.h"

namespace dotagent::dht {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);
// Before every date that a table can hold: nothing has expired.
const absl::Time kBeginning = absl::FromUnixSeconds(-10'000'000'000'000'000);

const crypto::SigningKey& Node() {
  static const crypto::SigningKey key = *crypto::SigningKey::FromSeed(std::string(32, 'n'));
  return key;
}

const Value& Record() {
  static const Value value = [] {
    const auto record = record::Record::Sign({.name = "bob.agent", .timestamp = kStart},
                                             *crypto::SigningKey::FromSeed(std::string(32, 'b')));
    return *ValueTypes().Of(ValueKind::kRecord).Validate({record->json(), ""}, kStart);
  }();
  return value;
}

struct Entry {
  std::string key;
  std::string bytes;
};
std::vector<Entry> AllEntries(const storage::Store& disk) {
  std::vector<Entry> entries;
  const absl::Status status = disk.Scan("", "", [&](absl::string_view key, absl::string_view bytes) {
    entries.push_back({std::string(key), std::string(bytes)});
    return true;
  });
  Check(status.ok());
  return entries;
}

// What a node writes that holds one record.
const std::vector<Entry>& RealEntries() {
  static const std::vector<Entry> entries = [] {
    const auto disk = storage::NewMemoryStore();
    ValueStore values(&Node(), disk.get(), {});
    Check(values.Store(Record(), ValueStore::Keep::kValue, Node().public_key(), kStart).ok());
    return AllEntries(*disk);
  }();
  return entries;
}

void CheckDamage(const absl::Status& status) {
  Check(status.ok() || absl::IsNotFound(status) || ReasonOf(status) == reason::kStorage);
}

size_t Differing(const std::string& a, const std::string& b) {
  Check(a.size() == b.size());
  size_t differing = 0;
  for (size_t i = 0; i < a.size(); ++i) differing += a[i] == b[i] ? 0 : 1;
  return differing;
}

// Reads and rewrites what is on `disk` in every way that there is.
void Use(storage::Store& disk) {
  const std::vector<Entry> before = AllEntries(disk);
  ValueStore values(&Node(), &disk, {});
  const Id& key = Record().key;
  for (const ValueKind kind : {ValueKind::kRecord, ValueKind::kRevocation, ValueKind::kRotation}) {
    const auto held = values.Get(kind, key, kBeginning);
    CheckDamage(held.status());
    if (held.ok()) values.Touch({kind, key, Id()}, held->received + absl::Hours(1));
    const auto receipt = values.ReceiptFor(kind, key, kBeginning);
    CheckDamage(receipt.status());
    if (receipt.ok() && receipt->has_value()) {
      CheckDamage(values.Settle(kind, {{key, (*receipt)->owner, (*receipt)->digest}}, kBeginning));
    }
  }
  // All that changed is when each was last offered (8 bytes), and that a claim is settled.
  for (const Entry& entry : before) {
    const auto after = disk.Get(entry.key);
    if (after.ok() && *after != entry.bytes) Check(Differing(*after, entry.bytes) <= 8);
  }

  CheckDamage(values.Sweep("", 100, kBeginning).status());
  CheckDamage(values.claims().Provisional("", 100).status());
  CheckDamage(values.claims().Sweep("", 100, kBeginning).status());
  CheckDamage(values.Sweep("", 100, absl::InfiniteFuture()).status());
  CheckDamage(values.claims().Sweep("", 100, absl::InfiniteFuture()).status());
  // It is refused or kept, whatever else is there, and what was kept is read again as it is.
  if (values.Store(Record(), ValueStore::Keep::kValue, Node().public_key(), kStart).ok()) {
    const auto held = values.Get(ValueKind::kRecord, key, kStart);
    CheckDamage(held.status());
  }
}

void UseContacts(absl::string_view bytes) {
  const auto contacts = DecodeContacts(bytes, kMaxSavedContacts);
  if (!contacts.ok()) return;
  Check(contacts->size() <= kMaxSavedContacts);
  const std::string encoded = EncodeContacts(*contacts);
  const auto again = DecodeContacts(encoded, kMaxSavedContacts);
  Check(again.ok() && EncodeContacts(*again) == encoded);
}

}  // namespace
}  // namespace dotagent::dht

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dotagent::dht;  // NOLINT(google-build-using-namespace)
  if (size < 2) return 0;
  const absl::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::vector<Entry>& real = RealEntries();
  const size_t chosen = data[0] % (real.size() + 1);
  if (chosen == real.size()) {
    UseContacts(rest);
    return 0;
  }
  const auto disk = dotagent::storage::NewMemoryStore();
  for (size_t i = 0; i < real.size(); ++i) {
    Entry entry = real[i];
    if (i == chosen && (data[1] & 1) != 0) {
      entry.bytes = std::string(rest);
    } else if (i == chosen && (data[1] & 2) != 0) {
      // A key of that table, as long as a zero byte is not its first.
      const size_t slash = entry.key.find('/', 4);
      entry.key = entry.key.substr(0, slash + 1) + std::string(rest);
    } else if (i == chosen) {
      for (size_t at = 0; at + 1 < rest.size(); at += 2) {
        const size_t place = static_cast<uint8_t>(rest[at]) % std::max<size_t>(entry.bytes.size(), 1);
        if (!entry.bytes.empty()) entry.bytes[place] = static_cast<char>(entry.bytes[place] ^ rest[at + 1]);
      }
    }
    Check(disk->Put(entry.key, entry.bytes, dotagent::storage::Durability::kSync).ok());
  }
  Use(*disk);
  return 0;
}
