#include "common/dht/routing_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

using Which = RoutingTable::Which;

Contact ContactWithId(const Id& id, std::string address = "/ip4/192.0.2.1/tcp/4001") {
  return Contact{id, crypto::PublicKey(), {std::move(address)}};
}

// Buckets of k nodes, and that is all.
constexpr RoutingTableOptions kPlain = {.siblings = 0};

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
  client.addresses = {};
  EXPECT_FALSE(table.Seen(client, absl::ZeroDuration()));
  EXPECT_EQ(table.size(), 0);
}

TEST(RoutingTableTest, AFullBucketKeepsItsNodesUntilTheOldestFailsItsPing) {
  RoutingTable table{Id(), kPlain};
  const std::vector<Contact> contacts = ContactsInBucket0(kBucketSize + 2);
  for (size_t i = 0; i < kBucketSize; ++i) EXPECT_FALSE(table.Seen(contacts[i], absl::Seconds(i)));

  const Contact& newcomer = contacts[kBucketSize];
  EXPECT_FALSE(table.Seen(newcomer, absl::Seconds(30))) << "the oldest answered less than a minute ago";
  EXPECT_FALSE(table.Contains(newcomer.id));

  const auto oldest = table.Seen(newcomer, absl::Minutes(2));
  ASSERT_TRUE(oldest);
  EXPECT_EQ(oldest->id, contacts[0].id);
  EXPECT_FALSE(table.Seen(contacts[kBucketSize + 1], absl::Minutes(2))) << "one ping at a time";

  // It answers: it stays.
  EXPECT_FALSE(table.Seen(*oldest, absl::Minutes(2)));
  EXPECT_TRUE(table.Contains(contacts[0].id));

  const auto next = table.Seen(newcomer, absl::Minutes(5));
  ASSERT_TRUE(next);
  EXPECT_EQ(next->id, contacts[1].id);
  table.Evict(next->id);
  EXPECT_FALSE(table.Contains(contacts[1].id));
  EXPECT_TRUE(table.Contains(newcomer.id)) << "a spare takes the place";
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
  EXPECT_TRUE(table.Knows(contact));
  EXPECT_EQ(table.Find(contact.id)->addresses, contact.addresses);
  EXPECT_EQ(table.size(), 1);
}

TEST(RoutingTableTest, PassesOnTheSolutionOfANodesPuzzle) {
  RoutingTable table{Id()};
  Contact contact = ContactFromSeed(1);
  for (const uint64_t solution : {uint64_t{7}, uint64_t{0xfedcba9876543210}}) {
    contact.puzzle_solution = solution;
    EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration()));
    EXPECT_EQ(table.Find(contact.id)->puzzle_solution, solution);
    EXPECT_EQ(table.Nearest(Id(), 1, Which::kAll)[0].puzzle_solution, solution);
  }
}

TEST(RoutingTableTest, RandomIdsFallIntoTheirBucket) {
  SeededRandom random(3);
  const Id self = RandomId(random);
  const RoutingTable table(self);
  for (size_t i = 0; i < kIdBits; ++i) {
    EXPECT_EQ(self.CommonPrefix(table.RandomIdIn(i, random)), static_cast<int>(i));
  }
}

// A table of the node 0 with `count` nodes in bucket `index`.
void FillBucket(RoutingTable& table, size_t index, size_t count, Random& random) {
  for (size_t i = 0; i < count; ++i) {
    EXPECT_FALSE(table.Seen(ContactWithId(table.RandomIdIn(index, random)), absl::ZeroDuration()));
  }
}

TEST(RoutingTableTest, BucketsWithoutLookupsGoStale) {
  RoutingTable table{Id()};
  SeededRandom random(7);
  EXPECT_THAT(table.StaleBuckets(absl::Hours(1), absl::ZeroDuration()), testing::IsEmpty());
  for (size_t bucket = 0; bucket < 2; ++bucket) FillBucket(table, bucket, kBucketSize, random);
  FillBucket(table, 3, 1, random);
  EXPECT_THAT(table.StaleBuckets(absl::Hours(1), absl::ZeroDuration()), testing::ElementsAre(0, 1, 2));
  table.LookedUp(table.RandomIdIn(1, random), absl::ZeroDuration());
  EXPECT_THAT(table.StaleBuckets(absl::Hours(1), absl::Minutes(59)), testing::ElementsAre(0, 2));
  EXPECT_THAT(table.StaleBuckets(absl::Hours(1), absl::Hours(1)), testing::ElementsAre(0, 1, 2));
}

TEST(RoutingTableTest, OneLookupRefreshesTheNeighbourhood) {
  RoutingTable table{Id()};
  SeededRandom random(7);
  FillBucket(table, 0, 12, random);
  FillBucket(table, 2, 12, random);
  FillBucket(table, 5, 6, random);
  FillBucket(table, 9, 2, random);
  // 2, 5 and 9 hold k nodes together.
  EXPECT_THAT(table.StaleBuckets(absl::Hours(1), absl::ZeroDuration()), testing::ElementsAre(0, 1));
  EXPECT_EQ(Id().CommonPrefix(table.RefreshTarget(0, random)), 0);
  EXPECT_EQ(table.RefreshTarget(1, random), Id());
  table.LookedUp(table.RandomIdIn(5, random), absl::ZeroDuration());
  EXPECT_THAT(table.StaleBuckets(absl::Hours(1), absl::Minutes(1)), testing::ElementsAre(0, 1));
  table.LookedUp(Id(), absl::ZeroDuration());
  EXPECT_THAT(table.StaleBuckets(absl::Hours(1), absl::Minutes(1)), testing::ElementsAre(0));
  FillBucket(table, 9, 1, random);
  EXPECT_EQ(Id().CommonPrefix(table.RefreshTarget(2, random)), 2) << "one more, and bucket 2 is refreshed by itself";
}

TEST(RoutingTableTest, ABucketIsFullWhenAllOfItAnswer) {
  RoutingTable table{Id()};
  SeededRandom random(7);
  EXPECT_FALSE(table.IsFull(0));
  FillBucket(table, 0, kBucketSize - 1, random);
  EXPECT_FALSE(table.IsFull(0));
  const Contact last = ContactWithId(table.RandomIdIn(0, random));
  EXPECT_FALSE(table.Seen(last, absl::ZeroDuration()));
  EXPECT_TRUE(table.IsFull(0));
  EXPECT_TRUE(table.Failed(last.id));
  EXPECT_FALSE(table.IsFull(0));
}

TEST(RoutingTableTest, AddressesThatNoOneMayAnnounceAreLeftOut) {
  RoutingTable table{Id()};
  Contact contact = ContactFromSeed(1);
  const std::string fine(contact.addresses.front());
  std::vector<std::string> announced(20, fine);
  announced.insert(announced.begin(), {std::string(kMaxAddressSize + 1, 'a'), ""});
  contact.addresses = announced;
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration()));
  EXPECT_EQ(table.Find(contact.id)->addresses, std::vector<std::string>(kMaxContactAddresses, fine));

  contact = ContactFromSeed(2);
  contact.addresses = {std::string(kMaxAddressSize + 1, 'a'), ""};
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration()));
  EXPECT_FALSE(table.Contains(contact.id));
  EXPECT_EQ(table.size(), 1);
  contact.addresses = {std::string(kMaxAddressSize, 'a')};
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration()));
  EXPECT_TRUE(table.Knows(contact));
  contact.addresses = {""};
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration()));
  EXPECT_EQ(table.Find(contact.id)->addresses.front().size(), kMaxAddressSize) << "the one that was good stays";
}

TEST(RoutingTableTest, AFreePlaceGoesToTheNearestSpare) {
  RoutingTable table{Id(), kPlain};
  const std::vector<Contact> contacts = ContactsInBucket0(kBucketSize + 4);
  for (size_t i = 0; i < kBucketSize; ++i) EXPECT_FALSE(table.Seen(contacts[i], absl::ZeroDuration()));
  const auto spare = [&](size_t i) -> const Contact& { return contacts[kBucketSize + i]; };
  EXPECT_FALSE(table.Seen(spare(0), absl::Seconds(1), absl::Milliseconds(80)));
  EXPECT_FALSE(table.Seen(spare(1), absl::Seconds(2), absl::Milliseconds(10)));
  EXPECT_FALSE(table.Seen(spare(2), absl::Seconds(3)));
  EXPECT_FALSE(table.Seen(spare(3), absl::Seconds(4)));
  for (const size_t next : {1, 0, 3, 2}) {
    table.Evict(contacts[next].id);
    EXPECT_TRUE(table.Contains(spare(next).id)) << next;
  }
  EXPECT_EQ(table.size(), kBucketSize);
}

TEST(RoutingTableTest, RoundTripTimesAreSmoothed) {
  RoutingTable table{Id()};
  const Contact contact = ContactFromSeed(1);
  EXPECT_EQ(table.RoundTrip(contact.id), absl::InfiniteDuration());
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration()));
  EXPECT_EQ(table.RoundTrip(contact.id), absl::InfiniteDuration());
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration(), absl::Milliseconds(16)));
  EXPECT_EQ(table.RoundTrip(contact.id), absl::Milliseconds(16));
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration(), absl::Milliseconds(80)));
  EXPECT_EQ(table.RoundTrip(contact.id), absl::Milliseconds(24));
  EXPECT_FALSE(table.Seen(contact, absl::ZeroDuration()));
  EXPECT_EQ(table.RoundTrip(contact.id), absl::Milliseconds(24)) << "an answer that was not timed says nothing";
}

TEST(RoutingTableTest, FewNodesOfOneNetworkInABucketAndInTheTable) {
  SeededRandom random(5);
  RoutingTable table{Id()};
  const auto seen = [&](size_t bucket, const std::string& address) {
    const Contact contact = ContactWithId(table.RandomIdIn(bucket, random), address);
    EXPECT_FALSE(table.Seen(contact, absl::Hours(1)));
    return contact;
  };
  const Contact first = seen(0, "/ip4/8.9.0.1/tcp/1");
  const Contact second = seen(0, "/ip4/8.9.0.2/tcp/1");
  const Contact third = seen(0, "/ip4/8.9.0.3/tcp/1");
  EXPECT_TRUE(table.Contains(second.id));
  EXPECT_FALSE(table.Contains(third.id)) << "two of a /16 in a bucket";
  const Contact other_bucket = seen(1, "/ip4/8.9.0.4/tcp/1");
  EXPECT_TRUE(table.Contains(other_bucket.id));
  EXPECT_FALSE(table.Contains(seen(2, "/ip4/8.9.0.5/tcp/1").id)) << "three in the table";
  EXPECT_FALSE(table.Contains(seen(2, "/ip6/2002:809::1/tcp/1").id)) << "6to4 is the same network";
  EXPECT_TRUE(table.Contains(seen(2, "/ip4/8.10.0.5/tcp/1").id));
  for (int i = 0; i < 15; ++i)
    EXPECT_TRUE(table.Contains(seen(2, "/ip4/10.0.0.1/tcp/1").id)) << "private ones are exempt";

  table.Evict(first.id);
  EXPECT_TRUE(table.Contains(third.id)) << "it was a spare";
  EXPECT_EQ(table.Find(other_bucket.id)->addresses, other_bucket.addresses);
}

TEST(RoutingTableTest, ANodeCountsInTheGroupOfEachAddress) {
  SeededRandom random(5);
  RoutingTable table{Id()};
  Contact both = ContactWithId(table.RandomIdIn(0, random), "");
  both.addresses = {"/ip4/8.9.0.1/tcp/1", "/ip6/2a01:4f8::1/tcp/1"};
  EXPECT_FALSE(table.Seen(both, absl::ZeroDuration()));
  EXPECT_FALSE(table.Seen(ContactWithId(table.RandomIdIn(0, random), "/ip6/2a01:4f8::2/tcp/1"), absl::ZeroDuration()));
  Contact third = ContactWithId(table.RandomIdIn(0, random), "");
  third.addresses = {"/ip4/8.10.0.1/tcp/1", "/ip6/2a01:4f8::3/tcp/1"};
  EXPECT_FALSE(table.Seen(third, absl::ZeroDuration()));
  EXPECT_FALSE(table.Contains(third.id));
  // Once it has moved out of the full network it may enter.
  third.addresses = {"/ip4/8.10.0.1/tcp/1"};
  EXPECT_FALSE(table.Seen(third, absl::ZeroDuration()));
  EXPECT_TRUE(table.Contains(third.id));
}

TEST(RoutingTableTest, MovingIntoAFullNetworkCostsThePlace) {
  SeededRandom random(5);
  RoutingTable table{Id()};
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(table.Seen(ContactWithId(table.RandomIdIn(0, random), "/ip4/8.9.0.1/tcp/1"), absl::ZeroDuration()));
  }
  Contact mover = ContactWithId(table.RandomIdIn(0, random), "/ip4/8.10.0.1/tcp/1");
  EXPECT_FALSE(table.Seen(mover, absl::ZeroDuration()));
  EXPECT_TRUE(table.Contains(mover.id));
  mover.addresses = {"/ip4/8.9.0.7/tcp/1"};
  EXPECT_FALSE(table.Seen(mover, absl::ZeroDuration()));
  EXPECT_FALSE(table.Contains(mover.id));
  EXPECT_EQ(table.size(), 2);
}

TEST(RoutingTableTest, CapsCanBeLiftedOrCountPrivateNetworksToo) {
  SeededRandom random(5);
  RoutingTable open{Id(), {.max_per_group_in_bucket = 0, .max_per_group_in_table = 0}};
  RoutingTable strict{Id(), {.private_addresses = PrivateAddresses::kCount}};
  for (int i = 0; i < 10; ++i) {
    const Id id = open.RandomIdIn(0, random);
    EXPECT_FALSE(open.Seen(ContactWithId(id, "/ip4/8.9.0.1/tcp/1"), absl::ZeroDuration()));
    EXPECT_FALSE(strict.Seen(ContactWithId(id, "/ip4/10.0.0.1/tcp/1"), absl::ZeroDuration()));
  }
  EXPECT_EQ(open.size(), 10);
  EXPECT_EQ(strict.size(), 2);
}

TEST(RoutingTableTest, OneNetworkDoesNotFillTheSpares) {
  SeededRandom random(5);
  RoutingTable table{Id(), kPlain};
  std::vector<Id> honest;
  for (size_t i = 0; i < kBucketSize + 3; ++i) {
    honest.push_back(table.RandomIdIn(0, random));
    const std::string address = absl::StrCat("/ip4/8.", i, ".0.1/tcp/1");
    EXPECT_FALSE(table.Seen(ContactWithId(honest.back(), address), absl::Seconds(i)));
  }
  for (int i = 0; i < 50; ++i) {
    (void)table.Seen(ContactWithId(table.RandomIdIn(0, random), "/ip4/9.9.0.1/tcp/1"), absl::Seconds(30));
  }
  for (size_t i = 0; i < kBucketSize; ++i) table.Evict(honest[i]);
  for (size_t i = kBucketSize; i < honest.size(); ++i) EXPECT_TRUE(table.Contains(honest[i])) << i;
  EXPECT_EQ(table.size(), 5);
}

// Ids around `self` as a network of `nodes` has them, nearest first.
std::vector<Id> Neighbours(const Id& self, size_t nodes, Random& random) {
  std::vector<Id> ids;
  for (size_t i = 0; i < nodes; ++i) ids.push_back(RandomId(random));
  std::sort(ids.begin(), ids.end(), [&](const Id& a, const Id& b) { return self.DistanceTo(a) < self.DistanceTo(b); });
  return ids;
}

TEST(RoutingTableTest, KnowsItsSiblingsWhateverTheBuckets) {
  SeededRandom random(11);
  const Id self = RandomId(random);
  const std::vector<Id> nearest = Neighbours(self, 3000, random);
  std::vector<Id> order = nearest;
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  RoutingTable table(self);
  for (const Id& id : order) (void)table.Seen(ContactWithId(id), absl::ZeroDuration());
  const std::vector<Contact> siblings = table.Siblings(64);
  ASSERT_EQ(siblings.size(), 64);
  for (size_t i = 0; i < siblings.size(); ++i) EXPECT_EQ(siblings[i].id, nearest[i]) << i;
  // About k a bucket and the siblings: nodes that nearer ones pushed off the list did not stay.
  EXPECT_LT(table.size(), 64 + 7 * kBucketSize);
}

TEST(RoutingTableTest, ASampleIsOfDistinctNodesFromAnywhere) {
  SeededRandom random(13);
  RoutingTable table{Id()};
  EXPECT_THAT(table.Sample(5, random), testing::IsEmpty());
  for (size_t bucket = 0; bucket < 10; ++bucket) {
    for (int i = 0; i < 10; ++i) {
      (void)table.Seen(ContactWithId(table.RandomIdIn(bucket, random), "/ip4/10.0.0.1/tcp/1"), absl::ZeroDuration());
    }
  }
  std::set<Id> seen;
  for (int i = 0; i < 100; ++i) {
    std::set<Id> sample;
    for (const Contact& contact : table.Sample(20, random)) sample.insert(contact.id);
    EXPECT_EQ(sample.size(), 20);
    seen.merge(sample);
  }
  EXPECT_EQ(seen.size(), table.size()) << "each of 100 nodes is left out of 100 samples for 1 run in 50 million";
  EXPECT_EQ(table.Sample(1000, random).size(), table.size());
}

TEST(RoutingTableTest, AtAHundredThousandNodesATableIsSmall) {
  SeededRandom random(13);
  const Id self = RandomId(random);
  RoutingTable table(self);
  for (size_t i = 0; i < 100'000; ++i) {
    const Contact contact = ContactWithId(
        RandomId(random), absl::StrCat("/ip4/10.", i / 65536, ".", i / 256 % 256, ".", i % 256, "/tcp/4001"));
    (void)table.Seen(contact, absl::ZeroDuration());
  }
  EXPECT_GT(table.size(), 240);
  EXPECT_LT(table.MemoryBytes(), 58'000);
}

// Random operations against a model that only knows the rules.
class RandomOperations : public testing::TestWithParam<uint64_t> {};

TEST_P(RandomOperations, KeepTheTableTrue) {
  SeededRandom random(GetParam());
  const Id self = RandomId(random);
  // Odd seeds without a sibling list.
  const size_t siblings = GetParam() % 2 == 1 ? 0 : 64;
  RoutingTable table(self, {.siblings = siblings});
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
    const bool was_in = table.Contains(contact.id);
    switch (random.Below(4)) {
      case 0:
        table.Failed(contact.id);
        if (!was_in) {
          failures.erase(contact.id);  // a spare that fails is forgotten
        } else if (++failures[contact.id] >= kMaxFailures) {
          EXPECT_FALSE(table.Contains(contact.id));
          failures.erase(contact.id);
        }
        break;
      case 1:
        if (random.Below(10) != 0) break;
        table.Evict(contact.id);
        failures.erase(contact.id);
        EXPECT_FALSE(table.Contains(contact.id));
        break;
      default: {
        const size_t before = table.size();
        const auto oldest = table.Seen(contact, now);
        failures[contact.id] = 0;
        EXPECT_TRUE(!was_in || !oldest);
        EXPECT_LE(table.size(), before + 1);
        if (oldest) {
          EXPECT_TRUE(table.Contains(oldest->id));
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
      ++per_bucket[self.CommonPrefix(node.id)];
    }
    size_t deeper = 0;
    for (auto bucket = per_bucket.rbegin(); bucket != per_bucket.rend(); ++bucket) {
      // Beyond k there are only siblings.
      ASSERT_LE(bucket->second, std::max(kBucketSize, siblings - std::min(siblings, deeper)));
      deeper += bucket->second;
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
