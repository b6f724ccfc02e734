#include "common/dht/lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

std::vector<Contact> Contacts(uint64_t first, size_t count) {
  std::vector<Contact> contacts;
  for (size_t i = 0; i < count; ++i) contacts.push_back(ContactFromSeed(first + i));
  return contacts;
}

TEST(LookupTest, WithNoOneToAskIsDone) {
  const Lookup lookup(Id(), Id(), {});
  EXPECT_TRUE(lookup.done());
  EXPECT_EQ(lookup.asked(), 0);
}

TEST(LookupTest, KeepsAlphaCallsInFlight) {
  Lookup lookup(Id(), Id(), Contacts(1, 10));
  const std::vector<Contact> first = lookup.Next();
  EXPECT_EQ(first.size(), kConcurrency);
  EXPECT_THAT(lookup.Next(), testing::IsEmpty());
  lookup.Answered(first[0].id, {});
  EXPECT_EQ(lookup.Next().size(), 1);
  lookup.Silent(first[1].id);
  EXPECT_EQ(lookup.Next().size(), 1) << "a silent node gives its place to another";
  EXPECT_FALSE(lookup.done());
}

TEST(LookupTest, IgnoresItselfDuplicatesClientsAndForgedIds) {
  const Contact self = ContactFromSeed(1);
  Contact client = ContactFromSeed(2);
  client.addresses.clear();
  Contact forged = ContactFromSeed(3);
  forged.id = Id();  // claims to be the target itself
  const Contact seed = ContactFromSeed(4);
  Lookup lookup(self.id, Id(), {seed});
  ASSERT_EQ(lookup.Next().size(), 1);
  lookup.Answered(seed.id, {self, client, forged, seed, seed});
  const std::vector<Contact> next = lookup.Next();
  ASSERT_EQ(next.size(), 1);
  EXPECT_EQ(next[0].id, Id::OfNode(forged.key));
}

TEST(LookupTest, AnswersThatWereNotAskedForCountForNothing) {
  const std::vector<Contact> contacts = Contacts(1, 2);
  Lookup lookup(Id(), Id(), {contacts[0]});
  lookup.Answered(contacts[0].id, {contacts[1]});
  lookup.Failed(contacts[1].id);
  EXPECT_EQ(lookup.answered(), 0);
  ASSERT_EQ(lookup.Next().size(), 1);
  lookup.Answered(contacts[0].id, {});
  lookup.Answered(contacts[0].id, {contacts[1]});
  EXPECT_EQ(lookup.answered(), 1);
  EXPECT_TRUE(lookup.done());
}

TEST(LookupTest, OneAnswerBringsAtMostKNodes) {
  const Contact seed = ContactFromSeed(1);
  Lookup lookup(Id(), Id(), {seed});
  ASSERT_EQ(lookup.Next().size(), 1);
  lookup.Answered(seed.id, Contacts(100, 500));
  size_t asked = 0;
  for (std::vector<Contact> next = lookup.Next(); !next.empty(); next = lookup.Next()) {
    for (const Contact& node : next) {
      ++asked;
      lookup.Failed(node.id);
    }
  }
  EXPECT_EQ(asked, kBucketSize);
}

TEST(LookupTest, NodesThatInventNodesCannotKeepItGoing) {
  uint64_t seed = 1;
  Lookup lookup(Id(), Id(), Contacts(seed, 20));
  size_t asked = 0;
  for (std::vector<Contact> next = lookup.Next(); !next.empty(); next = lookup.Next()) {
    for (const Contact& node : next) {
      ++asked;
      seed += 20;
      // The inventors answer once; those that they invent never do.
      if (asked <= 20) {
        lookup.Answered(node.id, Contacts(1000 + seed, 20));
      } else {
        lookup.Failed(node.id);
      }
    }
  }
  EXPECT_LE(asked, kMaxLookupCalls);
  EXPECT_TRUE(lookup.done());
}

TEST(LookupTest, FindsTheNearestOfAFullyKnownNetworkAndCountsHops) {
  SeededRandom random(5);
  const std::vector<Contact> network = Contacts(1, 100);
  const Id target = RandomId(random);
  std::vector<Contact> sorted = network;
  std::sort(sorted.begin(), sorted.end(),
            [&](const Contact& a, const Contact& b) { return target.DistanceTo(a.id) < target.DistanceTo(b.id); });
  Lookup lookup(Id(), target, {sorted.back()});
  std::deque<Contact> asked;
  while (!lookup.done()) {
    for (const Contact& node : lookup.Next()) asked.push_back(node);
    ASSERT_FALSE(asked.empty());
    lookup.Answered(asked.front().id, std::vector<Contact>(sorted.begin(), sorted.begin() + 20));
    asked.pop_front();
  }
  const std::vector<Contact> found = lookup.Nearest(20);
  ASSERT_EQ(found.size(), 20);
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(found[i].id, sorted[i].id);
  EXPECT_EQ(lookup.hops(), 2);
  EXPECT_EQ(lookup.asked(), 21);
}

TEST(LookupTest, FailedNodesMakeRoomForTheNextNearest) {
  std::vector<Contact> contacts = Contacts(1, 25);
  std::sort(contacts.begin(), contacts.end(), [](const Contact& a, const Contact& b) { return a.id < b.id; });
  Lookup lookup(Id(), Id(), contacts);
  size_t asked = 0;
  for (std::vector<Contact> next = lookup.Next(); !next.empty(); next = lookup.Next()) {
    for (const Contact& node : next) {
      if (asked++ < 5) {
        lookup.Failed(node.id);
      } else {
        lookup.Answered(node.id, {});
      }
    }
  }
  EXPECT_TRUE(lookup.done());
  EXPECT_EQ(asked, 25);
  EXPECT_EQ(lookup.Nearest(1)[0].id, contacts[5].id);
}

}  // namespace
}  // namespace dotagent::dht
