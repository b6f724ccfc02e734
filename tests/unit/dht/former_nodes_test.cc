#include "common/dht/former_nodes.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

std::vector<Id> Ids(const std::vector<Contact>& contacts) {
  std::vector<Id> ids;
  for (const Contact& contact : contacts) ids.push_back(contact.id);
  return ids;
}

TEST(FormerNodesTest, KeepsTheLongestLived) {
  FormerNodes nodes;
  for (uint64_t i = 0; i < 3 * kMaxFormerNodes; ++i) {
    const uint64_t lived = i * 7 % (3 * kMaxFormerNodes);  // every age once
    nodes.Add(ContactFromSeed(lived), absl::Minutes(lived), absl::ZeroDuration());
  }
  std::vector<Id> expected;
  for (uint64_t i = 0; i < kMaxFormerNodes; ++i) expected.push_back(ContactFromSeed(3 * kMaxFormerNodes - 1 - i).id);
  EXPECT_EQ(Ids(nodes.All()), expected);
}

TEST(FormerNodesTest, ANodeIsThereOnceAndWithItsNewestAddress) {
  FormerNodes nodes;
  Contact contact = ContactFromSeed(1);
  nodes.Add(contact, absl::Hours(2), absl::ZeroDuration());
  contact.addresses = {"/ip4/192.0.2.9/tcp/9"};
  nodes.Add(contact, absl::Hours(1), absl::ZeroDuration());
  ASSERT_EQ(nodes.All().size(), 1);
  EXPECT_EQ(nodes.All()[0].addresses, contact.addresses);
  nodes.Remove(contact.id);
  EXPECT_TRUE(nodes.All().empty());
  nodes.Remove(contact.id);
}

TEST(FormerNodesTest, ForgetsAfterAWeek) {
  FormerNodes nodes;
  nodes.Add(ContactFromSeed(1), absl::Hours(100), absl::ZeroDuration());
  nodes.Add(ContactFromSeed(2), absl::Hours(1), kRememberedFor - absl::Seconds(1));
  EXPECT_EQ(nodes.All().size(), 2);
  nodes.Add(ContactFromSeed(3), absl::Hours(1), kRememberedFor);
  EXPECT_EQ(Ids(nodes.All()), (std::vector<Id>{ContactFromSeed(3).id, ContactFromSeed(2).id}));
}

TEST(FormerNodesTest, SomeAreDrawnAtRandomAndDistinct) {
  FormerNodes nodes;
  SeededRandom random(1);
  EXPECT_TRUE(nodes.Some(2, random).empty());
  for (uint64_t i = 0; i < 8; ++i) nodes.Add(ContactFromSeed(i), absl::Hours(i), absl::ZeroDuration());
  std::set<Id> drawn;
  for (int i = 0; i < 100; ++i) {
    const std::vector<Contact> some = nodes.Some(2, random);
    ASSERT_EQ(some.size(), 2);
    EXPECT_NE(some[0].id, some[1].id);
    for (const Id& id : Ids(some)) drawn.insert(id);
  }
  EXPECT_EQ(drawn.size(), 8);
  EXPECT_EQ(nodes.Some(100, random).size(), 8);
}

}  // namespace
}  // namespace dotagent::dht
