#include "common/p2p/rendezvous.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"

namespace dotagent::p2p {
namespace {

constexpr int kIds = 10'000;

std::string Id(int number) { return absl::StrCat("agent-", number, ".agent"); }

std::vector<crypto::PublicKey> Nodes(size_t count) {
  SeededRandom random(7);
  std::vector<crypto::PublicKey> nodes;
  for (size_t i = 0; i < count; ++i) nodes.push_back(crypto::SigningKey::Generate(random).public_key());
  return nodes;
}

TEST(RendezvousTest, NobodyIsNobody) {
  EXPECT_EQ(RendezvousNode("bob.agent", {}), std::nullopt);
  EXPECT_TRUE(RendezvousNodes("bob.agent", {}, 3).empty());
}

TEST(RendezvousTest, EachNodeGetsItsShare) {
  const auto nodes = Nodes(10);
  std::map<crypto::PublicKey, int> share;
  for (int i = 0; i < kIds; ++i) ++share[*RendezvousNode(Id(i), nodes)];
  // Binomial: 1,000 each with a standard deviation of 30; five of them.
  for (const auto& node : nodes) EXPECT_NEAR(share[node], kIds / 10, 150);
}

TEST(RendezvousTest, TheOrderOfTheNodesDoesNotMatter) {
  auto nodes = Nodes(5);
  auto reversed = nodes;
  std::reverse(reversed.begin(), reversed.end());
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(RendezvousNode(Id(i), nodes), RendezvousNode(Id(i), reversed));
    EXPECT_EQ(RendezvousNodes(Id(i), nodes, 5), RendezvousNodes(Id(i), reversed, 5));
  }
}

TEST(RendezvousTest, OneThatLeavesMovesItsOwnIdsOnlyEachToTheSecond) {
  const auto nodes = Nodes(5);
  auto left = nodes;
  left.erase(left.begin() + 2);
  int moved = 0;
  for (int i = 0; i < kIds; ++i) {
    const auto before = RendezvousNodes(Id(i), nodes, 2);
    ASSERT_EQ(before.size(), 2u);
    const bool its_own = before[0] == nodes[2];
    EXPECT_EQ(*RendezvousNode(Id(i), left), before[its_own ? 1 : 0]);
    moved += its_own;
  }
  EXPECT_NEAR(moved, kIds / 5, 200);
}

TEST(RendezvousTest, OneThatComesTakesItsShareFromAll) {
  const auto nodes = Nodes(5);
  const auto before = absl::MakeConstSpan(nodes).subspan(0, 4);
  std::map<crypto::PublicKey, int> taken;
  for (int i = 0; i < kIds; ++i) {
    const auto was = *RendezvousNode(Id(i), before);
    const auto is = *RendezvousNode(Id(i), nodes);
    if (was == is) continue;
    EXPECT_EQ(is, nodes[4]);
    ++taken[was];
  }
  for (const auto& node : before) EXPECT_NEAR(taken[node], kIds / 20, 120);
}

// Members of several releases must agree: the function is part of the protocol. Expected: hashlib's SHA-256.
TEST(RendezvousTest, StaysAsItIs) {
  std::vector<crypto::PublicKey> nodes;
  for (const char byte : {1, 2, 3}) nodes.push_back(*crypto::PublicKey::FromUncheckedBytes(std::string(32, byte)));
  std::string homes;
  for (int i = 0; i < 16; ++i) {
    const auto home = *RendezvousNode(Id(i), nodes);
    absl::StrAppend(&homes, std::find(nodes.begin(), nodes.end(), home) - nodes.begin());
  }
  EXPECT_EQ(homes, "2021222111101220");
}

}  // namespace
}  // namespace dotagent::p2p
