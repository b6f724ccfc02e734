#include "common/dht/quorum.h"

#include <gtest/gtest.h>

#include "tests/unit/dht/fixtures.h"

namespace dotagent::dht {
namespace {

class QuorumTest : public testing::Test {
 protected:
  // The node whose id differs from the key in bit 255 - `distance` only: the lower, the nearer.
  [[nodiscard]] Id NodeAt(size_t distance) const {
    std::string bytes(key_.bytes());
    bytes[31 - distance / 8] = static_cast<char>(bytes[31 - distance / 8] ^ (1 << (distance % 8)));
    return *Id::FromBytes(bytes);
  }

  const Id key_ = KeyOfName("bob.agent");
  const Value old_ = RecordOf(KeyFromSeed(1), "bob.agent", kStart);
  const Value new_ = RecordOf(KeyFromSeed(1), "bob.agent", kStart + absl::Seconds(1));
  const Value hijack_ = RecordOf(KeyFromSeed(2), "bob.agent", kStart + absl::Seconds(2));
  Quorum quorum_;
};

TEST_F(QuorumTest, ThreeVotesForAnOwnerDecideAndTheNewestOfHisIsTheAnswer) {
  quorum_.Add(NodeAt(1), old_);
  quorum_.Add(NodeAt(2), new_);
  EXPECT_FALSE(quorum_.decided());
  quorum_.Add(NodeAt(3), old_);
  EXPECT_TRUE(quorum_.decided());
  EXPECT_EQ(quorum_.Best().value.bytes, new_.bytes);
  EXPECT_EQ(quorum_.Best().agreeing, 1);
}

TEST_F(QuorumTest, ANodeVotesOnce) {
  for (int i = 0; i < 5; ++i) quorum_.Add(NodeAt(1), hijack_);
  EXPECT_FALSE(quorum_.decided());
  EXPECT_EQ(quorum_.Best().agreeing, 1);
}

TEST_F(QuorumTest, ANewerRecordOfAMinorityOwnerLoses) {
  quorum_.Add(NodeAt(1), hijack_);
  quorum_.Add(NodeAt(2), old_);
  quorum_.Add(NodeAt(3), hijack_);
  quorum_.Add(NodeAt(4), old_);
  quorum_.Add(NodeAt(5), old_);
  EXPECT_EQ(quorum_.Best().value.owner, old_.owner);
  EXPECT_EQ(quorum_.Best().agreeing, 3);
}

TEST_F(QuorumTest, OfEqualsTheNearestNodesOwnerWins) {
  quorum_.Add(NodeAt(9), hijack_);
  quorum_.Add(NodeAt(3), old_);
  EXPECT_EQ(quorum_.Best().value.owner, old_.owner);
}

TEST_F(QuorumTest, FindsBytesThatWereValidatedBefore) {
  quorum_.Add(NodeAt(1), old_);
  ASSERT_NE(quorum_.Find(old_.bytes), nullptr);
  EXPECT_EQ(quorum_.Find(old_.bytes)->owner, old_.owner);
  EXPECT_EQ(quorum_.Find(new_.bytes), nullptr);
}

}  // namespace
}  // namespace dotagent::dht
