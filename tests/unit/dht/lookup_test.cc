#include "common/dht/lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

std::vector<Contact> Contacts(uint64_t first, size_t count) {
  std::vector<Contact> contacts;
  for (size_t i = 0; i < count; ++i) contacts.push_back(ContactFromSeed(first + i));
  return contacts;
}

std::vector<Contact> SortedBy(const Id& target, std::vector<Contact> contacts) {
  std::sort(contacts.begin(), contacts.end(),
            [&](const Contact& a, const Contact& b) { return target.DistanceTo(a.id) < target.DistanceTo(b.id); });
  return contacts;
}

// As if this were all there is: no set is too sparse.
double Anything(const Id& /*distance*/) { return 0; }
// As if nodes were so dense that none of those heard of can be near: only paths are followed.
double VeryDense(const Id& /*distance*/) { return 1e9; }

// Asks until there is no one left to ask; returns whom it asked, in order.
std::vector<Contact> RunAll(Lookup& lookup, const std::function<void(const Contact&)>& answer) {
  std::vector<Contact> asked;
  for (std::vector<Contact> next = lookup.Next(); !next.empty(); next = lookup.Next()) {
    for (const Contact& node : next) {
      asked.push_back(node);
      answer(node);
    }
  }
  return asked;
}

TEST(LookupTest, WithNoOneToAskIsComplete) {
  Lookup lookup(Id(), Id(), {}, {}, Anything);
  EXPECT_THAT(lookup.Next(), IsEmpty());
  EXPECT_TRUE(lookup.idle());
  EXPECT_TRUE(lookup.complete());
  EXPECT_FALSE(lookup.Widen({}));
  EXPECT_EQ(lookup.asked(), 0);
}

TEST(LookupTest, EachPathAsksOneNodeAtATime) {
  Lookup lookup(Id(), Id(), Contacts(1, 20), {.paths = 4}, VeryDense);
  const std::vector<Contact> first = lookup.Next();
  EXPECT_THAT(first, SizeIs(4));
  EXPECT_THAT(lookup.Next(), IsEmpty());
  lookup.Answered(first[0].id, {});
  EXPECT_THAT(lookup.Next(), SizeIs(1));
  lookup.Silent(first[1].id);
  EXPECT_THAT(lookup.Next(), SizeIs(1)) << "a silent node holds up its path no longer";
  EXPECT_FALSE(lookup.idle());
}

TEST(LookupTest, NodesNearEnoughAreAskedAtOnce) {
  Lookup lookup(Id(), Id(), Contacts(1, 20), {.paths = 4, .wanted = 12}, Anything);
  EXPECT_THAT(lookup.Next(), SizeIs(12));
}

TEST(LookupTest, NoNodeIsAskedTwiceWhoeverTellsOfIt) {
  const std::vector<Contact> seeds = Contacts(1, 8);
  const std::vector<Contact> common = Contacts(100, 20);
  Lookup lookup(Id(), Id(), seeds, {.paths = 8}, VeryDense);
  const std::vector<Contact> asked = RunAll(lookup, [&](const Contact& node) { lookup.Answered(node.id, common); });
  std::set<Id> distinct;
  for (const Contact& node : asked) EXPECT_TRUE(distinct.insert(node.id).second);
  EXPECT_GT(asked.size(), seeds.size());
}

// The attackers of lookup.h: they name only one another, and they are nearer to the target than most.
TEST(LookupTest, ALiarSpoilsOnePathOnly) {
  SeededRandom random(3);
  const Id target = RandomId(random);
  const std::vector<Contact> honest = Contacts(1000, 400);
  // As many as a tenth of the network; the lookup's own table knows one of them.
  const std::vector<Contact> liars = SortedBy(target, Contacts(5000, 40));
  std::set<Id> liar_ids;
  for (const Contact& liar : liars) liar_ids.insert(liar.id);
  // Honest nodes know k nodes of each of their buckets.
  const auto honest_answer = [&](const Contact& node) {
    std::map<int, size_t> bucket_sizes;
    std::vector<Contact> known;
    for (const Contact& other : honest) {
      if (++bucket_sizes[node.id.CommonPrefix(other.id)] <= kBucketSize) known.push_back(other);
    }
    known = SortedBy(target, known);
    known.resize(kBucketSize);
    return known;
  };
  const auto run = [&](size_t paths) {
    const std::vector<Contact> by_distance = SortedBy(target, honest);
    std::vector<Contact> seeds(by_distance.end() - 19, by_distance.end());
    seeds.push_back(liars[0]);
    Lookup lookup(Id(), target, SortedBy(target, seeds), {.paths = paths}, VeryDense);
    RunAll(lookup, [&](const Contact& node) {
      lookup.Answered(node.id, liar_ids.contains(node.id) ? liars : honest_answer(node));
    });
    std::vector<Contact> found = lookup.Nearest(kMaxLookupCalls);
    std::erase_if(found, [&](const Contact& node) { return liar_ids.contains(node.id); });
    return found;
  };
  const std::vector<Contact> found = run(8);
  ASSERT_GE(found.size(), 10);
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(found[i].id, SortedBy(target, honest)[i].id) << i;
  EXPECT_THAT(run(1), IsEmpty()) << "one path alone stays with the liar: otherwise this test shows nothing";
}

TEST(LookupTest, WidensIntoNodesThatNoPathHasAsked) {
  const std::vector<Contact> seeds = SortedBy(Id(), Contacts(1, 60));
  Lookup lookup(Id(), Id(), seeds, {.paths = 2, .wanted = 1}, VeryDense);
  const std::vector<Contact> first = RunAll(lookup, [&](const Contact& node) { lookup.Answered(node.id, {}); });
  EXPECT_LE(first.size(), 20);
  EXPECT_FALSE(lookup.complete());
  ASSERT_TRUE(lookup.Widen(seeds));
  const std::vector<Contact> second = RunAll(lookup, [&](const Contact& node) { lookup.Answered(node.id, {}); });
  EXPECT_THAT(second, testing::Not(IsEmpty()));
  int rounds = 0;
  while (lookup.Widen({})) {
    ASSERT_LT(++rounds, 100);
    RunAll(lookup, [&](const Contact& node) { lookup.Answered(node.id, {}); });
  }
}

// The liars of one wave are not the end of the next one too, though whoever knows the network names them first.
TEST(LookupTest, AWaveGoesPastThoseWhoCapturedTheOneBefore) {
  const Id target;
  const std::vector<Contact> all = SortedBy(target, Contacts(1, 200));
  const std::vector<Contact> captors(all.begin(), all.begin() + 20);
  const Contact& honest = all[20];
  const Contact& next_honest = all[21];
  Lookup lookup(Id::OfNode(KeyFromSeed(999).public_key()), target, {all[100], all[101]}, {.paths = 2}, VeryDense);
  RunAll(lookup, [&](const Contact& node) { lookup.Answered(node.id, captors); });
  EXPECT_EQ(lookup.Nearest(1).front().id, captors[0].id);
  ASSERT_TRUE(lookup.Widen({honest}));
  std::vector<Contact> told = captors;
  told.push_back(next_honest);
  const std::vector<Contact> asked = RunAll(lookup, [&](const Contact& node) { lookup.Answered(node.id, told); });
  EXPECT_TRUE(std::any_of(asked.begin(), asked.end(), [&](const Contact& node) { return node.id == next_honest.id; }));
}

TEST(LookupTest, IgnoresItselfDuplicatesAndClients) {
  const Contact self = ContactFromSeed(1);
  Contact client = ContactFromSeed(2);
  client.addresses = {};
  const Contact other = ContactFromSeed(3);
  const Contact seed = ContactFromSeed(4);
  Lookup lookup(self.id, Id(), {seed}, {}, Anything);
  ASSERT_THAT(lookup.Next(), SizeIs(1));
  lookup.Answered(seed.id, {self, client, other, other, seed, seed});
  const std::vector<Contact> next = lookup.Next();
  ASSERT_THAT(next, SizeIs(1));
  EXPECT_EQ(next[0].id, other.id);
}

TEST(LookupTest, AnswersThatWereNotAskedForCountForNothing) {
  const std::vector<Contact> contacts = Contacts(1, 2);
  Lookup lookup(Id(), Id(), {contacts[0]}, {}, Anything);
  lookup.Answered(contacts[0].id, {contacts[1]});
  lookup.Failed(contacts[1].id);
  EXPECT_EQ(lookup.answered(), 0);
  ASSERT_THAT(lookup.Next(), SizeIs(1));
  lookup.Answered(contacts[0].id, {});
  lookup.Answered(contacts[0].id, {contacts[1]});
  EXPECT_EQ(lookup.answered(), 1);
  EXPECT_TRUE(lookup.complete());
}

TEST(LookupTest, OneAnswerBringsABoundedNumberOfNodes) {
  const Contact seed = ContactFromSeed(1);
  Lookup lookup(Id(), Id(), {seed}, {}, Anything);
  ASSERT_THAT(lookup.Next(), SizeIs(1));
  lookup.Answered(seed.id, Contacts(100, 500));
  EXPECT_THAT(RunAll(lookup, [&](const Contact& node) { lookup.Failed(node.id); }), SizeIs(kMaxAnswerNodes));
}

TEST(LookupTest, NodesThatInventNodesCannotKeepItGoing) {
  uint64_t seed = 1;
  Lookup lookup(Id(), Id(), Contacts(seed, 20), {.paths = 8, .wanted = 28}, Anything);
  size_t asked = 0;
  do {
    RunAll(lookup, [&](const Contact& node) {
      seed += 20;
      // The inventors answer once; those that they invent never do.
      if (++asked <= 20) {
        lookup.Answered(node.id, Contacts(1000 + seed, 20));
      } else {
        lookup.Failed(node.id);
      }
    });
  } while (lookup.Widen({}));
  EXPECT_LE(asked, kMaxLookupCalls);
}

TEST(LookupTest, FindsTheNearestOfAFullyKnownNetworkAndCountsHops) {
  SeededRandom random(5);
  const Id target = RandomId(random);
  const std::vector<Contact> sorted = SortedBy(target, Contacts(1, 100));
  Lookup lookup(Id(), target, {sorted.back()}, {}, Anything);
  RunAll(lookup, [&](const Contact& node) {
    lookup.Answered(node.id, std::vector<Contact>(sorted.begin(), sorted.begin() + 20));
  });
  const std::vector<Contact> found = lookup.Nearest(20);
  ASSERT_THAT(found, SizeIs(20));
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(found[i].id, sorted[i].id);
  EXPECT_EQ(lookup.hops(), 2);
  EXPECT_EQ(lookup.asked(), 21);
  EXPECT_EQ(lookup.agreeing_paths(), 1);
}

TEST(LookupTest, WhatIsSettledEndsAtTheFirstNodeThatIsAwaited) {
  const std::vector<Contact> contacts = SortedBy(Id(), Contacts(1, 10));
  Lookup lookup(Id(), Id(), contacts, {.paths = 8, .wanted = 10}, Anything);
  ASSERT_THAT(lookup.Next(), SizeIs(10));
  for (const size_t i : {0, 1, 3, 4}) lookup.Answered(contacts[i].id, {});
  EXPECT_THAT(lookup.Settled(), SizeIs(2));
  lookup.Failed(contacts[2].id);
  EXPECT_THAT(lookup.Settled(), SizeIs(4));
  lookup.Silent(contacts[5].id);
  lookup.Answered(contacts[6].id, {});
  EXPECT_THAT(lookup.Settled(), SizeIs(5)) << "a silent node is not waited for";
  lookup.Answered(contacts[5].id, {});
  EXPECT_THAT(lookup.Settled(), SizeIs(6)) << "but counts if it answers after all";
}

TEST(LookupTest, FailedNodesMakeRoomForTheNextNearest) {
  const std::vector<Contact> contacts = SortedBy(Id(), Contacts(1, 20));
  Lookup lookup(Id(), Id(), contacts, {}, Anything);
  size_t asked = 0;
  RunAll(lookup, [&](const Contact& node) {
    if (asked++ < 5) {
      lookup.Failed(node.id);
    } else {
      lookup.Answered(node.id, {});
    }
  });
  EXPECT_EQ(asked, 20);
  EXPECT_EQ(lookup.Nearest(1)[0].id, contacts[5].id);
}

}  // namespace
}  // namespace dotagent::dht
