#include "common/dht/value_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/dht/receipt.h"
#include "common/storage/store.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr size_t kMany = 1000;

std::string Refusal(const absl::Status& status) { return status.ok() ? "OK" : ReasonOf(status); }

// As if a node of the key with seed `source` had sent it.
absl::Status Keep(ValueStore& values, const Value& value, absl::Time now, uint64_t source = 200) {
  return values.Store(value, ValueStore::Keep::kValue, KeyFromSeed(source).public_key(), now).status();
}

class ValueStoreTest : public testing::Test {
 protected:
  std::unique_ptr<storage::Store> disk_ = storage::NewMemoryStore();
  crypto::SigningKey node_ = KeyFromSeed(100);
  ValueStore values_{&node_, disk_.get(), {.max_values = kMany}};
  crypto::SigningKey bob_ = KeyFromSeed(1);
  crypto::SigningKey mallory_ = KeyFromSeed(2);
  const Id key_ = KeyOfName("bob.agent");
};

TEST_F(ValueStoreTest, KeepsAValueAcrossARestart) {
  const Value record = RecordOf(bob_, "bob.agent", kStart);
  ASSERT_TRUE(Keep(values_, record, kStart).ok());
  const ValueStore again(&node_, disk_.get(), {.max_values = kMany});
  EXPECT_EQ(again.size(), 1);
  const auto held = again.Get(ValueKind::kRecord, key_, kStart);
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(held->value.item, record.item);
  EXPECT_EQ(held->value.owner, record.owner);
  EXPECT_EQ(held->value.timestamp, record.timestamp);
  EXPECT_EQ(held->value.expires, record.expires);
}

TEST_F(ValueStoreTest, TheSameBytesAgainAreFine) {
  const Value record = RecordOf(bob_, "bob.agent", kStart);
  EXPECT_TRUE(Keep(values_, record, kStart).ok());
  EXPECT_TRUE(Keep(values_, record, kStart + absl::Hours(1)).ok());
  EXPECT_EQ(values_.size(), 1);
  EXPECT_EQ(values_.Get(ValueKind::kRecord, key_, kStart)->received, kStart + absl::Hours(1));
}

TEST_F(ValueStoreTest, TheNewestWinsAndOlderOnesAreRefused) {
  const Value older = RecordOf(bob_, "bob.agent", kStart);
  const Value newer = RecordOf(bob_, "bob.agent", kStart + absl::Seconds(1));
  ASSERT_TRUE(Keep(values_, older, kStart).ok());
  ASSERT_TRUE(Keep(values_, newer, kStart).ok());
  EXPECT_EQ(Refusal(Keep(values_, older, kStart)), reason::kSuperseded);
  EXPECT_EQ(values_.Get(ValueKind::kRecord, key_, kStart)->value.item, newer.item);
  EXPECT_EQ(values_.size(), 1);
}

TEST_F(ValueStoreTest, TwoRecordsOfOneInstantEndTheSameInAnyOrder) {
  const Value a = RecordOf(bob_, "bob.agent", kStart, 600);
  const Value b = RecordOf(bob_, "bob.agent", kStart, 700);
  const auto other_disk = storage::NewMemoryStore();
  ValueStore other(&node_, other_disk.get(), {.max_values = kMany});
  Keep(values_, a, kStart).IgnoreError();
  Keep(values_, b, kStart).IgnoreError();
  Keep(other, b, kStart).IgnoreError();
  Keep(other, a, kStart).IgnoreError();
  EXPECT_EQ(values_.Get(ValueKind::kRecord, key_, kStart)->value.item,
            other.Get(ValueKind::kRecord, key_, kStart)->value.item);
}

TEST_F(ValueStoreTest, ANameBelongsToItsFirstKeyUntil30DaysAfterItsNewestRecord) {
  ASSERT_TRUE(Keep(values_, RecordOf(bob_, "bob.agent", kStart), kStart).ok());
  const absl::Time refreshed = kStart + absl::Hours(24 * 10);
  ASSERT_TRUE(Keep(values_, RecordOf(bob_, "bob.agent", refreshed), refreshed).ok());

  const absl::Time before = refreshed + kClaimLifetime - absl::Seconds(1);
  EXPECT_EQ(Refusal(Keep(values_, RecordOf(mallory_, "bob.agent", before), before)), reason::kNameTaken)
      << "although the record itself has long expired";
  const absl::Time after = refreshed + kClaimLifetime;
  EXPECT_EQ(Refusal(Keep(values_, RecordOf(mallory_, "bob.agent", after), after)), "OK");
  EXPECT_EQ(Refusal(Keep(values_, RecordOf(bob_, "bob.agent", after), after)), reason::kNameTaken);
  EXPECT_EQ(values_.size(), 1);
}

TEST_F(ValueStoreTest, TheClaimSurvivesSweepAndRestart) {
  ASSERT_TRUE(Keep(values_, RecordOf(bob_, "bob.agent", kStart, 60), kStart).ok());
  const absl::Time later = kStart + absl::Hours(1);
  ASSERT_TRUE(values_.Sweep("", 100, later).ok());
  EXPECT_EQ(values_.size(), 0);
  ValueStore again(&node_, disk_.get(), {.max_values = kMany});
  EXPECT_EQ(Refusal(Keep(again, RecordOf(mallory_, "bob.agent", later), later)), reason::kNameTaken);
}

TEST_F(ValueStoreTest, AnExpiredRecordCannotBeReplacedByAnOlderOneThatHasNot) {
  const Value old = RecordOf(bob_, "bob.agent", kStart, 7 * 86400);
  ASSERT_TRUE(Keep(values_, RecordOf(bob_, "bob.agent", kStart + absl::Minutes(1), 60), kStart).ok());
  const absl::Time later = kStart + absl::Hours(1);
  ASSERT_TRUE(values_.Sweep("", 100, later).ok());
  EXPECT_EQ(Refusal(Keep(values_, old, later)), reason::kSuperseded);
}

TEST_F(ValueStoreTest, ExpiredValuesAreNotReturnedAndAreSwept) {
  ASSERT_TRUE(Keep(values_, RecordOf(bob_, "bob.agent", kStart, 60), kStart).ok());
  ASSERT_TRUE(Keep(values_, RecordOf(bob_, "lasting.agent", kStart, 86400), kStart).ok());
  const absl::Time later = kStart + absl::Seconds(60);
  EXPECT_TRUE(absl::IsNotFound(values_.Get(ValueKind::kRecord, key_, later).status()));
  EXPECT_EQ(values_.size(), 2);
  const auto page = values_.Sweep("", 100, later);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->values.size(), 1);
  EXPECT_EQ(page->values[0].value.key, KeyOfName("lasting.agent"));
  EXPECT_EQ(values_.size(), 1);
  EXPECT_EQ(ValueStore(&node_, disk_.get(), {}).size(), 1);
}

TEST_F(ValueStoreTest, SweepsInPages) {
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Keep(values_, RecordOf(bob_, absl::StrCat("a", i, ".agent"), kStart), kStart).ok());
  }
  std::vector<Id> seen;
  std::string cursor;
  int pages = 0;
  do {
    const auto page = values_.Sweep(cursor, 4, kStart);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const HeldValue& held : page->values) seen.push_back(held.value.key);
    cursor = page->next;
    ++pages;
  } while (!cursor.empty());
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(seen.size(), 10);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
}

TEST_F(ValueStoreTest, LapsedClaimsAreSwept) {
  ASSERT_TRUE(Keep(values_, RecordOf(bob_, "bob.agent", kStart), kStart).ok());
  const auto claims = [this] {
    int count = 0;
    EXPECT_TRUE(disk_->Scan("dht/claim/", "", [&](absl::string_view, absl::string_view) { return ++count > 0; }).ok());
    return count;
  };
  ASSERT_TRUE(values_.claims().Sweep("", 100, kStart + kClaimLifetime - absl::Seconds(1)).ok());
  EXPECT_EQ(claims(), 1);
  ASSERT_TRUE(values_.claims().Sweep("", 100, kStart + kClaimLifetime).ok());
  EXPECT_EQ(claims(), 0);
}

TEST_F(ValueStoreTest, ARevocationEvictsTheKeysRecordsAndKeepsThemOut) {
  ASSERT_TRUE(Keep(values_, RecordOf(bob_, "bob.agent", kStart), kStart).ok());
  ASSERT_TRUE(Keep(values_, RecordOf(bob_, "bobs-other.agent", kStart), kStart).ok());
  ASSERT_TRUE(Keep(values_, RecordOf(mallory_, "other.agent", kStart), kStart).ok());
  const Value revocation = RevocationOf(bob_, kStart);
  ASSERT_TRUE(Keep(values_, revocation, kStart).ok());

  EXPECT_TRUE(values_.IsRevoked(bob_.public_key()));
  EXPECT_FALSE(values_.IsRevoked(mallory_.public_key()));
  EXPECT_TRUE(absl::IsNotFound(values_.Get(ValueKind::kRecord, key_, kStart).status()));
  EXPECT_TRUE(absl::IsNotFound(values_.Get(ValueKind::kRecord, KeyOfName("bobs-other.agent"), kStart).status()));
  EXPECT_TRUE(values_.Get(ValueKind::kRecord, KeyOfName("other.agent"), kStart).ok());
  EXPECT_TRUE(values_.Get(ValueKind::kRevocation, revocation.key, kStart).ok());
  EXPECT_EQ(values_.size(), 2);

  ValueStore again(&node_, disk_.get(), {.max_values = kMany});
  EXPECT_EQ(again.size(), 2);
  const absl::Time later = kStart + absl::Hours(1);
  const absl::Status refused = Keep(again, RecordOf(bob_, "bob.agent", later), later);
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(refused), reason::kKeyRevoked);
  EXPECT_EQ(Refusal(Keep(again, RecordOf(mallory_, "bob.agent", later), later)), reason::kNameTaken)
      << "the name does not fall to the next comer";
}

TEST_F(ValueStoreTest, OfSeveralRevocationsTheEarliestStays) {
  const Value later = RevocationOf(bob_, kStart + absl::Seconds(5));
  const Value earlier = RevocationOf(bob_, kStart);
  EXPECT_TRUE(Keep(values_, later, kStart).ok());
  EXPECT_TRUE(Keep(values_, earlier, kStart).ok());
  EXPECT_TRUE(Keep(values_, later, kStart).ok()) << "the key is revoked, which is what was asked";
  EXPECT_EQ(values_.Get(ValueKind::kRevocation, later.key, kStart)->value.item, earlier.item);
  EXPECT_EQ(values_.size(), 1);
}

TEST_F(ValueStoreTest, WithoutRoomTheFarthestValueGivesWayToANearerOne) {
  const Id self = Id::OfNode(node_.public_key());
  std::vector<std::string> names = {"a.agent", "b.agent", "c.agent", "d.agent"};
  std::sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return self.DistanceTo(KeyOfName(a)) < self.DistanceTo(KeyOfName(b));
  });
  ValueStore small(&node_, disk_.get(), {.max_values = 2});
  ASSERT_TRUE(Keep(small, RecordOf(bob_, names[1], kStart), kStart).ok());
  ASSERT_TRUE(Keep(small, RecordOf(bob_, names[2], kStart), kStart).ok());

  const absl::Status full = Keep(small, RecordOf(bob_, names[3], kStart), kStart);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(full), reason::kLimit);
  EXPECT_TRUE(Keep(small, RecordOf(bob_, names[0], kStart), kStart).ok());
  EXPECT_EQ(small.size(), 2);
  EXPECT_TRUE(small.Get(ValueKind::kRecord, KeyOfName(names[0]), kStart).ok());
  EXPECT_TRUE(small.Get(ValueKind::kRecord, KeyOfName(names[1]), kStart).ok());
  EXPECT_FALSE(small.Get(ValueKind::kRecord, KeyOfName(names[2]), kStart).ok());

  const absl::Time later = kStart + absl::Seconds(1);
  EXPECT_TRUE(Keep(small, RecordOf(bob_, names[1], later), later).ok()) << "what is here may be replaced";
  const Value revocation = RevocationOf(mallory_, kStart);
  EXPECT_TRUE(Keep(small, revocation, later).ok()) << "a revocation always finds room";
  EXPECT_EQ(small.size(), 2);
  EXPECT_EQ(ValueStore(&node_, disk_.get(), {}).size(), 2);
}

TEST_F(ValueStoreTest, OneNodeCannotFillIt) {
  ValueStore values(&node_, disk_.get(), {.max_values = 100, .max_values_per_source = 2});
  EXPECT_TRUE(Keep(values, RecordOf(bob_, "a.agent", kStart), kStart, 7).ok());
  EXPECT_TRUE(Keep(values, RecordOf(bob_, "b.agent", kStart), kStart, 7).ok());
  EXPECT_EQ(Refusal(Keep(values, RecordOf(bob_, "c.agent", kStart), kStart, 7)), reason::kLimit);
  EXPECT_TRUE(Keep(values, RecordOf(bob_, "c.agent", kStart), kStart, 8).ok());
  ValueStore again(&node_, disk_.get(), {.max_values = 100, .max_values_per_source = 2});
  EXPECT_EQ(Refusal(Keep(again, RecordOf(bob_, "d.agent", kStart), kStart, 7)), reason::kLimit)
      << "who stored what is remembered";
}

TEST_F(ValueStoreTest, AWitnessKeepsTheClaimOnly) {
  const Value record = RecordOf(bob_, "bob.agent", kStart);
  const auto receipt =
      values_.Store(record, ValueStore::Keep::kClaimOnly, KeyFromSeed(200).public_key(), kStart + absl::Seconds(1));
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  ASSERT_TRUE(receipt->has_value());
  EXPECT_EQ((*receipt)->owner, record.owner);
  EXPECT_EQ((*receipt)->digest, DigestOf(record.item));
  EXPECT_EQ((*receipt)->first_seen, kStart + absl::Seconds(1));
  EXPECT_TRUE(VerifyReceipt(node_.public_key(), ValueKind::kRecord, key_, **receipt).ok());
  EXPECT_FALSE(VerifyReceipt(bob_.public_key(), ValueKind::kRecord, key_, **receipt).ok());
  EXPECT_FALSE(VerifyReceipt(node_.public_key(), ValueKind::kRecord, Id(), **receipt).ok());
  EXPECT_EQ(values_.size(), 0);
  EXPECT_EQ(Refusal(Keep(values_, RecordOf(mallory_, "bob.agent", kStart), kStart)), reason::kNameTaken);
  EXPECT_EQ(*values_.ReceiptFor(ValueKind::kRecord, key_, kStart), **receipt);
  EXPECT_EQ(*values_.ReceiptFor(ValueKind::kRecord, key_, kStart + kClaimLifetime), std::nullopt);
}

TEST_F(ValueStoreTest, AProvisionalClaimGivesWayOnceWhenItIsSettled) {
  const Value hijack = RecordOf(mallory_, "bob.agent", kStart);
  const Value record = RecordOf(bob_, "bob.agent", kStart);
  ASSERT_TRUE(Keep(values_, hijack, kStart).ok());
  ASSERT_EQ(values_.claims().Provisional("", 10)->keys.size(), 1);
  ASSERT_TRUE(values_.Settle(ValueKind::kRecord, {{key_, record.owner, DigestOf(record.item)}}, kStart).ok());
  EXPECT_EQ(values_.size(), 0) << "the loser's record is gone";
  EXPECT_TRUE(values_.claims().Provisional("", 10)->keys.empty());
  EXPECT_EQ(Refusal(Keep(values_, hijack, kStart)), reason::kNameTaken);
  EXPECT_TRUE(Keep(values_, record, kStart + absl::Seconds(1)).ok());
}

TEST_F(ValueStoreTest, WhoWinsAClaimMayStoreTheRecordThatHeHas) {
  ASSERT_TRUE(Keep(values_, RecordOf(mallory_, "bob.agent", kStart), kStart).ok());
  const Value record = RecordOf(bob_, "bob.agent", kStart - absl::Hours(20));
  const absl::Time settled = kStart + absl::Minutes(1);
  ASSERT_TRUE(values_.Settle(ValueKind::kRecord, {{key_, record.owner, DigestOf(record.item)}}, settled).ok());
  EXPECT_EQ(Refusal(Keep(values_, record, settled)), "OK") << "he signed it before the claim was settled";
  const absl::Time later = settled + absl::Hours(24 * 20);
  EXPECT_EQ(Refusal(Keep(values_, RecordOf(mallory_, "bob.agent", later), later)), reason::kNameTaken);
}

TEST_F(ValueStoreTest, AProvisionalClaimThatLapsesLeavesNothingBehind) {
  ASSERT_TRUE(Keep(values_, RecordOf(bob_, "bob.agent", kStart), kStart).ok());
  ASSERT_EQ(values_.claims().Provisional("", 10)->keys.size(), 1);
  ASSERT_TRUE(values_.claims().Sweep("", 100, kStart + kClaimLifetime).ok());
  EXPECT_TRUE(values_.claims().Provisional("", 10)->keys.empty());
}

// A disk that fails when told to.
class FailingStore : public storage::Store {
 public:
  absl::StatusOr<std::string> Get(absl::string_view key) const override { return disk_->Get(key); }
  absl::Status Write(const storage::Batch& batch, storage::Durability durability) override {
    last_durability = durability;
    if (writes_left == 0) full = true;
    --writes_left;
    if (full) return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kStorage, "the disk is full");
    return disk_->Write(batch, durability);
  }
  absl::Status Scan(absl::string_view prefix, absl::string_view from,
                    const std::function<bool(absl::string_view, absl::string_view)>& visit) const override {
    return disk_->Scan(prefix, from, visit);
  }
  bool full = false;
  int writes_left = -1;  // until it is; negative: any number
  storage::Durability last_durability = storage::Durability::kBuffered;

 private:
  std::unique_ptr<storage::Store> disk_ = storage::NewMemoryStore();
};

TEST_F(ValueStoreTest, ConfirmsOnlyWhatIsOnDisk) {
  FailingStore disk;
  ValueStore values(&node_, &disk, {.max_values = kMany});
  disk.full = true;
  EXPECT_EQ(Refusal(Keep(values, RecordOf(bob_, "bob.agent", kStart), kStart)), reason::kStorage);
  EXPECT_EQ(values.size(), 0);
  disk.full = false;
  EXPECT_TRUE(Keep(values, RecordOf(bob_, "bob.agent", kStart), kStart).ok());
  EXPECT_EQ(disk.last_durability, storage::Durability::kSync);
  EXPECT_EQ(values.size(), 1);
}

TEST_F(ValueStoreTest, ASettlementIsMadeWholeOrNotAtAll) {
  const Value hijack = RecordOf(mallory_, "bob.agent", kStart);
  const Value record = RecordOf(bob_, "bob.agent", kStart);
  for (int writes = 0; writes < 3; ++writes) {
    FailingStore disk;
    ValueStore values(&node_, &disk, {.max_values = kMany});
    ASSERT_TRUE(Keep(values, hijack, kStart).ok());
    disk.writes_left = writes;
    const absl::Status settled =
        values.Settle(ValueKind::kRecord, {{key_, record.owner, DigestOf(record.item)}}, kStart + absl::Minutes(1));
    const auto held = values.Get(ValueKind::kRecord, key_, kStart);
    const Id owner = (*values.ReceiptFor(ValueKind::kRecord, key_, kStart))->owner;
    EXPECT_EQ(owner, settled.ok() ? record.owner : hijack.owner) << writes;
    EXPECT_EQ(held.ok(), !settled.ok()) << "a value of another owner than the claim's makes readers drop the node";
    EXPECT_EQ(values.claims().Provisional("", 10)->keys.size(), settled.ok() ? 0 : 1);
  }
}

TEST_F(ValueStoreTest, DamageOnDiskIsReportedNotServed) {
  ASSERT_TRUE(Keep(values_, RecordOf(bob_, "bob.agent", kStart), kStart).ok());
  std::string where;
  ASSERT_TRUE(disk_
                  ->Scan("dht/value/", "",
                         [&](absl::string_view key, absl::string_view) {
                           where = std::string(key);
                           return true;
                         })
                  .ok());
  ASSERT_TRUE(disk_->Put(where, "\x01 of another version", storage::Durability::kSync).ok());
  EXPECT_EQ(Refusal(values_.Get(ValueKind::kRecord, key_, kStart).status()), reason::kStorage);
  EXPECT_EQ(Refusal(values_.Sweep("", 10, kStart).status()), reason::kStorage);
}

}  // namespace
}  // namespace dotagent::dht
