#include "common/dht/routing_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

using Which = RoutingTable::Which;

Contact ContactWithId(const Id& id) { return Contact{id, crypto::PublicKey(), {"/ip4/192.0.2.1/tcp/4001"}}; }

// Distinct contacts that all fall into bucket 0 of the all-zero id.
std::vector<Contact> ContactsInBucket0(size_t count) {
  SeededRandom random(7);
  std::vector<Contact> contacts;
  while (contacts.size() < count) {
    const Id id = RandomId(random);
    if (id.CommonPrefix(Id()) == 0) contacts.push_back(ContactWithId(id));
  }
  return contacts;
}

TEST(RoutingTableTest, NeverHoldsItselfNorClients) {
  RoutingTable table{Id()};
  EXPECT_FALSE(table.Seen(ContactWithId(Id()), absl::ZeroDuration()));
  Contact client = ContactFromSeed(1);
  client.addresses.clear();
  EXPECT_FALSE(table.Seen(client, absl::ZeroDuration()));
  EXPECT_EQ(table.size(), 0);
}

TEST(RoutingTableTest, AFullBucketKeepsItsNodesUntilTheOldestFailsItsPing) {
  RoutingTable table{Id()};
  const std::vector<Contact> contacts = ContactsInBucket0(kBucketSize + 2);
  for (size_t i = 0; i < kBucketSize; ++i) EXPECT_FALSE(table.Seen(contacts[i], absl::Seconds(i)));

  const Contact& newcomer = contacts[kBucketSize];
  EXPECT_FALSE(table.Seen(newcomer, absl::Seconds(30))) << "the oldest answered less than a minute ago";
  EXPECT_EQ(table.Find(newcomer.id), nullptr);

  const auto oldest = table.Seen(newcomer, absl::Minutes(2));
  ASSERT_TRUE(oldest);
  EXPECT_EQ(oldest->id, contacts[0].id);
  EXPECT_FALSE(table.Seen(contacts[kBucketSize + 1], absl::Minutes(2))) << "one ping at a time";

  // It answers: it stays.
  EXPECT_FALSE(table.Seen(*oldest, absl::Minutes(2)));
  EXPECT_NE(table.Find(contacts[0].id), nullptr);

  const auto next = table.Seen(newcomer, absl::Minutes(5));
  ASSERT_TRUE(next);
  EXPECT_EQ(next->id, contacts[1].id);
  table.Evict(next->id);
  EXPECT_EQ(table.Find(contacts[1].id), nullptr);
  EXPECT_NE(table.Find(newcomer.id), nullptr) << "the newest spare takes the place";
  EXPECT_EQ(table.size(), kBucketSize);
}

TEST(RoutingTableTest, ThreeFailuresInARowDropANode) {
  RoutingTable table{Id()};
  const Contact contact = ContactFromSeed(1);
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration()));
  EXPECT_TRUE(table.Failed(contact.id));
  EXPECT_TRUE(table.Doubtful(contact.id));
  EXPECT_THAT(table.Nearest(Id(), 5, Which::kAnswering), testing::IsEmpty());
  EXPECT_THAT(table.Nearest(Id(), 5, Which::kAll), testing::SizeIs(1));
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration()));
  EXPECT_FALSE(table.Doubtful(contact.id)) << "an answer clears its failures";
  for (int i = 0; i < kMaxFailures; ++i) EXPECT_TRUE(table.Failed(contact.id));
  EXPECT_EQ(table.size(), 0);
  EXPECT_FALSE(table.Failed(contact.id));
}

TEST(RoutingTableTest, ANewAddressReplacesTheOld) {
  RoutingTable table{Id()};
  Contact contact = ContactFromSeed(1);
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration()));
  contact.addresses = {"/ip4/198.51.100.1/tcp/4001"};
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration()));
  EXPECT_EQ(table.Find(contact.id)->addresses, contact.addresses);
  EXPECT_EQ(table.size(), 1);
}

TEST(RoutingTableTest, RandomIdsFallIntoTheirBucket) {
  SeededRandom random(3);
  const Id self = RandomId(random);
  const RoutingTable table(self);
  for (size_t i = 0; i < kIdBits; ++i) {
    EXPECT_EQ(self.CommonPrefix(table.RandomIdIn(i, random)), static_cast<int>(i));
  }
}

TEST(RoutingTableTest, BucketsWithoutLookupsGoStale) {
  RoutingTable table{Id()};
  EXPECT_THAT(table.StaleBuckets(absl::Hours(1), absl::ZeroDuration()), testing::IsEmpty());
  std::string deep(32, '\0');
  deep[0] = 0x10;  // bucket 3
  const Id id = *Id::FromBytes(deep);
  EXPECT_FALSE(table.Seen(ContactWithId(id), absl::ZeroDuration()));
  EXPECT_THAT(table.StaleBuckets(absl::Hours(1), absl::ZeroDuration()), testing::ElementsAre(0, 1, 2, 3));
  table.LookedUp(id, absl::ZeroDuration());
  EXPECT_THAT(table.StaleBuckets(absl::Hours(1), absl::Minutes(59)), testing::ElementsAre(0, 1, 2));
  EXPECT_THAT(table.StaleBuckets(absl::Hours(1), absl::Hours(1)), testing::ElementsAre(0, 1, 2, 3));
}

// Random operations against a model that only knows the rules.
class RandomOperations : public testing::TestWithParam<uint64_t> {};

TEST_P(RandomOperations, KeepTheTableTrue) {
  SeededRandom random(GetParam());
  const Id self = RandomId(random);
  RoutingTable table(self);
  std::vector<Contact> pool;
  for (int i = 0; i < 300; ++i) {
    // A third close to us, so that deep buckets fill too.
    const Id id = i % 3 == 0 ? table.RandomIdIn(random.Below(12), random) : RandomId(random);
    pool.push_back(ContactWithId(id));
  }
  std::map<Id, int> failures;  // of nodes that answered and have not been evicted since
  absl::Duration now;
  for (int step = 0; step < 5000; ++step) {
    now += absl::Seconds(random.Below(20));
    const Contact& contact = pool[random.Below(pool.size())];
    const bool was_in = table.Find(contact.id) != nullptr;
    switch (random.Below(4)) {
      case 0:
        table.Failed(contact.id);
        if (!was_in) {
          failures.erase(contact.id);  // a spare that fails is forgotten
        } else if (++failures[contact.id] >= kMaxFailures) {
          EXPECT_EQ(table.Find(contact.id), nullptr);
          failures.erase(contact.id);
        }
        break;
      case 1:
        if (random.Below(10) != 0) break;
        table.Evict(contact.id);
        failures.erase(contact.id);
        EXPECT_EQ(table.Find(contact.id), nullptr);
        break;
      default: {
        const size_t before = table.size();
        const auto oldest = table.Seen(contact, now);
        failures[contact.id] = 0;
        EXPECT_TRUE(!was_in || !oldest);
        EXPECT_LE(table.size(), before + 1);
        if (oldest) {
          EXPECT_NE(table.Find(oldest->id), nullptr);
          EXPECT_EQ(self.CommonPrefix(oldest->id), self.CommonPrefix(contact.id));
        }
      }
    }
    const std::vector<Contact> all = table.All();
    ASSERT_EQ(all.size(), table.size());
    std::map<int, size_t> per_bucket;
    for (const Contact& node : all) {
      ASSERT_TRUE(failures.contains(node.id)) << "a node that never answered is in the table";
      ASSERT_EQ(table.Doubtful(node.id), failures[node.id] > 0);
      ASSERT_LE(++per_bucket[self.CommonPrefix(node.id)], kBucketSize);
    }
    if (step % 50 != 0) continue;
    const Id target = RandomId(random);
    std::vector<Contact> expected = all;
    std::sort(expected.begin(), expected.end(),
              [&](const Contact& a, const Contact& b) { return target.DistanceTo(a.id) < target.DistanceTo(b.id); });
    expected.resize(std::min<size_t>(expected.size(), 20));
    const std::vector<Contact> nearest = table.Nearest(target, 20, Which::kAll);
    ASSERT_EQ(nearest.size(), expected.size());
    for (size_t i = 0; i < nearest.size(); ++i) ASSERT_EQ(nearest[i].id, expected[i].id);
  }
  EXPECT_GT(table.size(), 40);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomOperations, testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace dotagent::dht
