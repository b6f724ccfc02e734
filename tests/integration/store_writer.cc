// A resolver's disk work on its own, to be killed in the middle of it (kill_test.py): stores what nodes would ask it
// to, over RocksDB as the resolver has it, and says on standard output what it confirms, after it does.
//
//   store_writer FOLDER SEED
//
// First prints what the folder holds ("held NAME VERSION", "revoked AGENT"), then "ready", then, without end,
// "stored NAME VERSION" and "gone AGENT" (revoked). Exits with an error if the store is not one that it could have
// left.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/dht/value_store.h"
#include "common/identity/agent_id.h"
#include "common/identity/revocation.h"
#include "common/record/name.h"
#include "common/record/record.h"
#include "common/storage/store.h"

namespace dotagent::dht {
namespace {

constexpr uint64_t kNames = 150;
constexpr uint64_t kAgents = 40;  // name n belongs to agent n % kAgents
const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);
// Versions are seconds; all are current at once.
const absl::Time kNow = kStart + absl::Hours(24);

[[noreturn]] void Fail(absl::string_view what) {
  std::fprintf(stderr, "store_writer: %.*s\n", static_cast<int>(what.size()), what.data());
  std::exit(1);
}

template <typename T>
T Must(absl::StatusOr<T> result, absl::string_view what) {
  if (!result.ok()) Fail(absl::StrCat(what, ": ", result.status().ToString()));
  return *std::move(result);
}

crypto::SigningKey KeyOf(uint64_t agent) {
  SeededRandom random(agent + 1000);
  return crypto::SigningKey::Generate(random);
}
std::string NameOf(uint64_t number) { return absl::StrCat("n", number, ".agent"); }
Id KeyOfName(uint64_t number) { return *Id::FromBytes(record::Name::Parse(NameOf(number))->DhtKey()); }

class Writer {
 public:
  explicit Writer(const std::string& folder)
      : disk_(Must(storage::OpenRocksDb({.path = folder}), "opening")), values_(&node_, disk_.get(), {}) {}

  void Report() {
    const ValueStore::Page page = Must(values_.Sweep("", 10'000, kNow), "reading all values");
    if (page.values.size() != values_.size()) {
      Fail(absl::StrCat(page.values.size(), " values, but ", values_.size(), " in the index"));
    }
    for (uint64_t n = 0; n < kNames; ++n) {
      const auto held = values_.Get(ValueKind::kRecord, KeyOfName(n), kNow);
      const auto receipt = Must(values_.ReceiptFor(ValueKind::kRecord, KeyOfName(n), kNow), "reading a claim");
      if (!held.ok()) continue;
      if (values_.IsRevoked(held->value.signer)) Fail(NameOf(n) + " is of a key that is revoked");
      if (!receipt || receipt->owner != held->value.owner || receipt->digest != DigestOf(held->value.item)) {
        Fail(NameOf(n) + " has no claim that fits");
      }
      versions_[n] = (held->value.timestamp - kStart) / absl::Seconds(1);
      std::printf("held %s %ld\n", NameOf(n).c_str(), static_cast<long>(versions_[n]));
    }
    for (uint64_t agent = 0; agent < kAgents; ++agent) {
      if (values_.IsRevoked(KeyOf(agent).public_key())) std::printf("revoked %lu\n", static_cast<unsigned long>(agent));
    }
    std::puts("ready");
    std::fflush(stdout);
  }

  [[noreturn]] void WriteOn(uint64_t seed) {
    SeededRandom random(seed);
    while (true) {
      // Few revocations, so that there are records left at the end.
      if (random.Below(2000) == 0) {
        Revoke(random.Below(kAgents));
      } else {
        Put(random.Below(kNames));
      }
      std::fflush(stdout);
    }
  }

 private:
  void Put(uint64_t number) {
    const crypto::SigningKey key = KeyOf(number % kAgents);
    if (values_.IsRevoked(key.public_key())) return;
    const int64_t version = ++versions_[number];
    const absl::Time when = kStart + absl::Seconds(version);
    const auto record = Must(record::Record::Sign({.name = NameOf(number),
                                                   .addresses = {"/ip4/192.0.2.7/tcp/4001"},
                                                   .timestamp = when,
                                                   .ttl_seconds = record::kMaxTtlSeconds},
                                                  key),
                             "signing");
    Store(ValueKind::kRecord, record.json());
    std::printf("stored %s %ld\n", NameOf(number).c_str(), static_cast<long>(version));
  }
  void Revoke(uint64_t agent) {
    Store(ValueKind::kRevocation, Must(identity::SignRevocation(KeyOf(agent), "", kStart), "revoking"));
    std::printf("gone %lu\n", static_cast<unsigned long>(agent));
  }
  void Store(ValueKind kind, std::string bytes) {
    const Value value = Must(values_.types().Of(kind).Validate({std::move(bytes), ""}, kNow), "validating");
    Must(values_.Store(value, ValueStore::Keep::kValue, node_.public_key(), kNow), "storing");
  }

  const crypto::SigningKey node_ = KeyOf(kAgents);
  const std::unique_ptr<storage::Store> disk_;
  ValueStore values_;
  std::map<uint64_t, int64_t> versions_;
};

}  // namespace
}  // namespace dotagent::dht

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: store_writer FOLDER SEED\n", stderr);
    return 2;
  }
  dotagent::dht::Writer writer(argv[1]);
  writer.Report();
  writer.WriteOn(std::strtoull(argv[2], nullptr, 10));
}
