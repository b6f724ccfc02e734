// What ValueStore does with kinds of which a key has many owners' values.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/dht/seats.h"
#include "common/dht/value_store.h"
#include "common/identity/rotation.h"
#include "common/storage/store.h"
#include "dotagent/dht/v1/dht.pb.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

constexpr ValueKind kKind = ValueKind::kCapabilityAdvert;

std::string Refusal(const absl::Status& status) { return status.ok() ? "OK" : ReasonOf(status); }

class ManyOwnersTest : public testing::Test {
 protected:
  absl::Status Keep(ValueStore& values, const Value& value, absl::Time now = kStart, uint64_t source = 200) {
    return values.Store(value, ValueStore::Keep::kValue, KeyFromSeed(source).public_key(), now).status();
  }
  // All items under the key, read in pages of `limit`.
  std::vector<Item> All(const ValueStore& values, size_t limit = 64, absl::Time now = kStart) {
    std::vector<Item> items;
    std::optional<Id> after;
    do {
      auto page = values.GetPage(kKind, key_, after, limit, now);
      EXPECT_TRUE(page.ok()) << page.status();
      if (!page.ok()) return items;
      EXPECT_LE(page->items.size(), limit);
      items.insert(items.end(), page->items.begin(), page->items.end());
      after = page->next;
    } while (after);
    return items;
  }
  // Adverts of agents with the seeds from `first` on, in the order of their owners.
  std::vector<Value> Adverts(uint64_t first, size_t count, absl::Time when = kStart) {
    std::vector<Value> values;
    for (uint64_t i = 0; i < count; ++i) values.push_back(CapabilityOf(KeyFromSeed(first + i), "translate", when));
    std::sort(values.begin(), values.end(), [](const Value& a, const Value& b) { return a.owner < b.owner; });
    return values;
  }

  std::unique_ptr<storage::Store> disk_ = storage::NewMemoryStore();
  crypto::SigningKey node_ = KeyFromSeed(100);
  ValueStore values_{&node_, disk_.get(), {.max_values = 1000}};
  const Id key_ = KeyOfCapability("translate");
};

TEST_F(ManyOwnersTest, EachOwnerHasOneValueBesideTheOthers) {
  const std::vector<Value> adverts = Adverts(1000, 10);
  for (const Value& advert : adverts) ASSERT_TRUE(Keep(values_, advert).ok());
  const std::vector<Item> items = All(values_, 3);
  ASSERT_EQ(items.size(), adverts.size());
  for (size_t i = 0; i < items.size(); ++i) EXPECT_EQ(items[i], adverts[i].item) << "in the order of their owners";
  EXPECT_EQ(values_.size(), 10);

  const Value newer = CapabilityOf(KeyFromSeed(1000), "translate", kStart + absl::Seconds(1));
  EXPECT_EQ(Refusal(Keep(values_, newer)), "OK");
  EXPECT_EQ(values_.size(), 10);
  const Value older = CapabilityOf(KeyFromSeed(1000), "translate", kStart);
  EXPECT_EQ(Refusal(Keep(values_, older)), reason::kSuperseded);
  EXPECT_EQ(Refusal(Keep(values_, newer)), "OK") << "the same again is fine";
  EXPECT_EQ(All(values_).size(), 10);
}

TEST_F(ManyOwnersTest, OtherKeysAndKindsLieApart) {
  ASSERT_TRUE(Keep(values_, CapabilityOf(KeyFromSeed(1000), "translate", kStart)).ok());
  ASSERT_TRUE(Keep(values_, CapabilityOf(KeyFromSeed(1000), "summarize", kStart)).ok());
  ASSERT_TRUE(Keep(values_, RecordOf(KeyFromSeed(1000), "bob.agent", kStart)).ok());
  EXPECT_EQ(All(values_).size(), 1);
  EXPECT_EQ(values_.size(), 3);
}

TEST_F(ManyOwnersTest, SurvivesARestartWithItsSeats) {
  for (const Value& advert : Adverts(1000, kSeats)) ASSERT_TRUE(Keep(values_, advert).ok());
  ValueStore again(&node_, disk_.get(), {.max_values = 1000});
  EXPECT_EQ(again.size(), kSeats);
  const std::vector<Item> before = All(again);
  EXPECT_EQ(before.size(), kSeats);
  const absl::Time later = kStart + absl::Hours(1);
  for (const Value& advert : Adverts(5000, 100, later)) Keep(again, advert, later).IgnoreError();
  EXPECT_EQ(again.size(), kSeats) << "the restarted store knows that the key is full";
  const std::vector<Item> after = All(again, 64, later);
  EXPECT_EQ(after.size(), kSeats);
  size_t stayed = 0;
  for (const Item& item : before) stayed += std::count(after.begin(), after.end(), item);
  EXPECT_GE(stayed, kSeniorSeats) << "and who is senior";
  EXPECT_LT(stayed, kSeats);
}

TEST_F(ManyOwnersTest, AFloodByOneAttackerLeavesTheSeniorOnes) {
  const std::vector<Value> honest = Adverts(1000, kSeniorSeats);
  for (const Value& advert : honest) ASSERT_TRUE(Keep(values_, advert).ok());
  const absl::Time later = kStart + absl::Minutes(1);
  for (const Value& advert : Adverts(5000, 600, later)) Keep(values_, advert, later, 201).IgnoreError();
  EXPECT_EQ(values_.size(), kSeats);
  const std::vector<Item> items = All(values_, 64, later);
  for (const Value& advert : honest) EXPECT_EQ(std::count(items.begin(), items.end(), advert.item), 1);
}

TEST_F(ManyOwnersTest, TheQuotasOfTheStoreHoldForThemToo) {
  ValueStore small(&node_, disk_.get(), {.max_values = 6, .max_values_per_source = 4});
  const std::vector<Value> adverts = Adverts(1000, 8);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(Refusal(Keep(small, adverts[i], kStart, 7)), "OK");
  EXPECT_EQ(Refusal(Keep(small, adverts[4], kStart, 7)), reason::kLimit) << "of one source";
  EXPECT_EQ(Refusal(Keep(small, adverts[4], kStart, 8)), "OK");
  EXPECT_EQ(Refusal(Keep(small, adverts[5], kStart, 8)), "OK");
  EXPECT_EQ(Refusal(Keep(small, adverts[6], kStart, 8)), reason::kLimit) << "in all";
  EXPECT_EQ(Refusal(Keep(small, RevocationOf(KeyFromSeed(9), kStart))), "OK") << "a revocation always finds room";
  EXPECT_EQ(small.size(), 6);
  EXPECT_EQ(All(small).size(), 5);
}

TEST_F(ManyOwnersTest, ARevocationEvictsTheAgentsAdverts) {
  const crypto::SigningKey bob = KeyFromSeed(1);
  ASSERT_TRUE(Keep(values_, CapabilityOf(bob, "translate", kStart)).ok());
  ASSERT_TRUE(Keep(values_, CapabilityOf(bob, "summarize", kStart)).ok());
  ASSERT_TRUE(Keep(values_, CapabilityOf(KeyFromSeed(2), "translate", kStart)).ok());
  ASSERT_TRUE(Keep(values_, RevocationOf(bob, kStart)).ok());
  EXPECT_EQ(values_.size(), 2);
  EXPECT_EQ(All(values_).size(), 1);
  EXPECT_EQ(Refusal(Keep(values_, CapabilityOf(bob, "translate", kStart))), reason::kKeyRevoked);
  EXPECT_EQ(ValueStore(&node_, disk_.get(), {}).size(), 2);
}

TEST_F(ManyOwnersTest, ExpiredOnesAreNotReadAndAreSwept) {
  ASSERT_TRUE(Keep(values_, CapabilityOf(KeyFromSeed(1), "translate", kStart, absl::Minutes(1))).ok());
  ASSERT_TRUE(Keep(values_, CapabilityOf(KeyFromSeed(2), "translate", kStart)).ok());
  const absl::Time later = kStart + absl::Minutes(1);
  EXPECT_EQ(All(values_, 64, later).size(), 1);
  EXPECT_EQ(values_.size(), 2);
  const auto page = values_.Sweep("", 100, later);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->values.size(), 1);
  EXPECT_EQ(page->values[0].value.owner, CapabilityOf(KeyFromSeed(2), "translate", kStart).owner);
  EXPECT_EQ(page->values[0].value.key, key_);
  EXPECT_EQ(values_.size(), 1);
}

TEST_F(ManyOwnersTest, ACursorStaysGoodWhileValuesComeAndGo) {
  const std::vector<Value> adverts = Adverts(1000, 30);
  for (size_t i = 0; i < adverts.size(); i += 2) ASSERT_TRUE(Keep(values_, adverts[i]).ok());
  auto page = values_.GetPage(kKind, key_, std::nullopt, 5, kStart);
  ASSERT_TRUE(page.ok() && page->next);
  EXPECT_EQ(*page->next, adverts[8].owner);
  // The one that the cursor stands on goes, so does one before it and one behind it; others come on both sides.
  for (const size_t gone : {8, 4, 12}) {
    const auto signer = adverts[gone].signer;
    for (uint64_t seed = 1000; seed < 1030; ++seed) {
      if (KeyFromSeed(seed).public_key() != signer) continue;
      ASSERT_TRUE(Keep(values_, RevocationOf(KeyFromSeed(seed), kStart)).ok());
    }
  }
  ASSERT_TRUE(Keep(values_, adverts[3]).ok());
  ASSERT_TRUE(Keep(values_, adverts[11]).ok());
  page = values_.GetPage(kKind, key_, page->next, 64, kStart);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->next, std::nullopt);
  std::vector<Item> expected;
  for (size_t i = 9; i < adverts.size(); ++i) {
    if ((i % 2 == 0 && i != 12) || i == 11) expected.push_back(adverts[i].item);
  }
  EXPECT_EQ(page->items, expected);
}

TEST_F(ManyOwnersTest, AnyCursorAndLimitIsAnswered) {
  const std::vector<Value> adverts = Adverts(1000, 3);
  for (const Value& advert : adverts) ASSERT_TRUE(Keep(values_, advert).ok());
  const Id last = *Id::FromBytes(std::string(32, '\xff'));
  EXPECT_EQ(values_.GetPage(kKind, key_, last, 64, kStart)->items.size(), 0);
  EXPECT_EQ(values_.GetPage(kKind, key_, Id(), 64, kStart)->items.size(), 3);
  EXPECT_EQ(values_.GetPage(kKind, key_, adverts[1].owner, 64, kStart)->items.size(), 1);
  EXPECT_EQ(values_.GetPage(kKind, Id(), std::nullopt, 64, kStart)->items.size(), 0);
  const auto exact = values_.GetPage(kKind, key_, std::nullopt, 3, kStart);
  EXPECT_EQ(exact->items.size(), 3);
  EXPECT_EQ(exact->next, std::nullopt) << "the end is known";
}

TEST_F(ManyOwnersTest, APageIsBoundedInBytes) {
  // Chains of ten events make each item some 3 KiB.
  for (uint64_t agent = 0; agent < 12; ++agent) {
    std::vector<crypto::SigningKey> keys;
    for (uint64_t i = 0; i < 12; ++i) keys.push_back(KeyFromSeed(10'000 + 100 * agent + i));
    std::vector<std::string> chain = {identity::MakeInception(keys[0], keys[1].public_key(), kStart).value()};
    for (size_t i = 1; i < 11; ++i) {
      const auto verified = identity::VerifyRotationChain(chain, kStart);
      chain.push_back(
          identity::MakeRotation(*verified, keys[i - 1], keys[i], keys[i + 1].public_key(), kStart).value());
    }
    v1::Proof proof;
    proof.set_rotation_chain(identity::EncodeRotationChain(chain));
    Value value = CapabilityOf(keys[0], "translate", kStart);
    value.item.proof = proof.SerializeAsString();  // of the right size, which is all that counts here
    ASSERT_TRUE(Keep(values_, value).ok());
  }
  const auto page = values_.GetPage(kKind, key_, std::nullopt, 64, kStart);
  ASSERT_TRUE(page.ok()) << page.status();
  size_t size = 0;
  for (const Item& item : page->items) size += item.bytes.size() + item.proof.size();
  EXPECT_LE(size, kMaxPageBytes);
  EXPECT_GT(size, kMaxPageBytes / 2);
  EXPECT_TRUE(page->next.has_value());
  EXPECT_EQ(All(values_).size(), 12);
}

}  // namespace
}  // namespace dotagent::dht
