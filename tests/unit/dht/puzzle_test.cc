#include "common/dht/puzzle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/base/status.h"
#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

Id IdFromHex(absl::string_view hex) { return Id::FromBytes(absl::HexStringToBytes(hex)).value(); }

TEST(PuzzleTest, WithoutBitsEverythingSolvesIt) {
  SeededRandom random(1);
  EXPECT_TRUE(SolvesStatic(ContactFromSeed(1).key, 0));
  EXPECT_TRUE(SolvesDynamic(Id(), 0, 0));
  EXPECT_EQ(SolveDynamic(Id(), 0, random).value(), 0);
  EXPECT_TRUE(GenerateNodeKey(0, random).ok());
}

// Values from Python's hashlib, so that another implementation can check its own.
TEST(PuzzleTest, StaticIsTheHashOfTheNodeId) {
  // The id is sha256((796).to_bytes(32, "big")).
  const Id node = IdFromHex("d29d3a2bfe1654dc90e5401b4d096b1d948cd0226a29a1943ed575d58c73b24b");
  EXPECT_TRUE(SolvesStatic(node, 11));
  EXPECT_FALSE(SolvesStatic(node, 11 + 1));
}

TEST(PuzzleTest, DynamicXorsTheLastEightBytesBigEndian) {
  const Id node = IdFromHex("d29d3a2bfe1654dc90e5401b4d096b1d948cd0226a29a1943ed575d58c73b24b");
  EXPECT_TRUE(SolvesDynamic(node, 96628, 14));
  EXPECT_FALSE(SolvesDynamic(node, 96628, 14 + 1));
}

TEST(PuzzleTest, AKeyOfOneDifficultyAlsoSolvesTheEasierOnes) {
  SeededRandom random(7);
  const auto key = GenerateNodeKey(6, random);
  ASSERT_TRUE(key.ok()) << key.status();
  for (int bits = 0; bits <= 6; ++bits) {
    EXPECT_TRUE(SolvesStatic(key->public_key(), bits));
    EXPECT_TRUE(SolvesStatic(Id::OfNode(key->public_key()), bits));
  }
}

TEST(PuzzleTest, OneKeyIn64SolvesSixBits) {
  int solved = 0;
  for (uint64_t seed = 0; seed < 6400; ++seed) {
    SeededRandom random(seed);
    solved += SolvesStatic(RandomId(random), 6) ? 1 : 0;
  }
  EXPECT_NEAR(solved, 100, 40);  // four deviations
}

TEST(PuzzleTest, ASolutionIsForOneNode) {
  SeededRandom random(3);
  const Id node = RandomId(random);
  const auto solution = SolveDynamic(node, 12, random);
  ASSERT_TRUE(solution.ok()) << solution.status();
  EXPECT_TRUE(SolvesDynamic(node, *solution, 12));
  int others = 0;
  for (int i = 0; i < 100; ++i) others += SolvesDynamic(RandomId(random), *solution, 12) ? 1 : 0;
  EXPECT_LE(others, 2);
}

TEST(PuzzleTest, ZeroIsNoSolutionThoughItsHashFits) {
  SeededRandom random(7);
  const auto key = GenerateNodeKey(8, random);
  ASSERT_TRUE(key.ok());
  EXPECT_FALSE(SolvesDynamic(Id::OfNode(key->public_key()), 0, 8));
}

TEST(PuzzleTest, RefusesDifficultiesThatNoOneMeets) {
  SeededRandom random(1);
  for (const int bits : {-1, kMaxStaticBits + 1, 256}) {
    EXPECT_EQ(ReasonOf(GenerateNodeKey(bits, random).status()), reason::kLimit) << bits;
  }
  for (const int bits : {-1, kMaxDynamicBits + 1, 256}) {
    EXPECT_EQ(ReasonOf(SolveDynamic(Id(), bits, random).status()), reason::kLimit) << bits;
  }
  EXPECT_FALSE(SolvesStatic(Id(), 256));
  EXPECT_FALSE(SolvesDynamic(Id(), 1, 256));
}

TEST(PuzzleTest, AStuckRandomSourceEndsTheSearch) {
  struct Stuck : Random {
    void Fill(void* out, size_t size) override { std::fill_n(static_cast<char*>(out), size, 'x'); }
  } random;
  EXPECT_EQ(ReasonOf(GenerateNodeKey(6, random).status()), reason::kLimit) << "it makes one key only";
  EXPECT_TRUE(SolveDynamic(Id(), 8, random).ok()) << "counts on from where it starts";
}

TEST(PuzzleTest, LongWorkIsReportedAndCanBeGivenUp) {
  SeededRandom random(4);
  std::vector<uint64_t> told;
  const auto solution = SolveDynamic(RandomId(random), kMaxDynamicBits, random, [&](uint64_t attempts) {
    told.push_back(attempts);
    return told.size() < 2;
  });
  EXPECT_TRUE(absl::IsCancelled(solution.status())) << solution.status();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1], 2 * told[0]);
  const auto key = GenerateNodeKey(kMaxStaticBits, random, [](uint64_t) { return false; });
  EXPECT_TRUE(absl::IsCancelled(key.status())) << key.status();
}

}  // namespace
}  // namespace dotagent::dht
