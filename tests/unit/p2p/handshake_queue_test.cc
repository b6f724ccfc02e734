// Who gets a handshake when, and who has to go.
#include "common/p2p/handshake_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace dotagent::p2p {
namespace {

using Refusal = HandshakeQueue::Refusal;

class HandshakeQueueTest : public testing::Test {
 protected:
  HandshakeQueue::Id Enter(const std::string& group) {
    const auto entered = queue_.Enter(group, now_);
    EXPECT_EQ(entered.refusal, Refusal::kNone);
    groups_[entered.id] = group;
    return entered.id;
  }
  HandshakeQueue::Id Wait(const std::string& group, bool paid = false) {
    const auto id = Enter(group);
    EXPECT_TRUE(queue_.Knock(id, paid));
    return id;
  }
  // The addresses whose turn it is, one after the other.
  std::string Turns(size_t count) {
    std::string turns;
    for (size_t i = 0; i < count; ++i) {
      const auto turn = queue_.Next(now_);
      if (!turn) break;
      turns += groups_.at(turn->id);
    }
    return turns;
  }

  HandshakeQueue queue_{16, 8};
  absl::Time now_ = absl::UnixEpoch();
  std::map<HandshakeQueue::Id, std::string> groups_;
};

TEST_F(HandshakeQueueTest, AddressesTakeTurns) {
  for (int i = 0; i < 6; ++i) Wait("a");
  Wait("b");
  Wait("c");
  Wait("b");
  EXPECT_EQ(Turns(100), "abcabaaaa");
  EXPECT_EQ(queue_.waiting(), 0U);
  EXPECT_EQ(queue_.size(), 9U) << "those that run are still there";
}

TEST_F(HandshakeQueueTest, WhoHasPaidGetsThreeTurnsOfFourAndTheOthersOne) {
  for (int i = 0; i < 6; ++i) Wait("u");
  for (int i = 0; i < 6; ++i) Wait("p", true);
  EXPECT_EQ(queue_.waiting_paid(), 6U);
  EXPECT_EQ(Turns(100), "pppupppuuuuu");
}

TEST_F(HandshakeQueueTest, AnAddressHasItsShareOfPlaces) {
  for (int i = 0; i < 8; ++i) Enter("a");
  EXPECT_EQ(queue_.Enter("a", now_).refusal, Refusal::kPerAddress);
  const auto id = Enter("b");
  queue_.Leave(id);
  queue_.Leave(id);  // no effect
  EXPECT_EQ(queue_.size(), 8U);
}

TEST_F(HandshakeQueueTest, APlaceThatIsLeftIsFree) {
  std::vector<HandshakeQueue::Id> ids;
  for (int i = 0; i < 8; ++i) ids.push_back(Wait("a", i % 2 == 0));
  EXPECT_EQ(queue_.Enter("a", now_).refusal, Refusal::kPerAddress);
  for (const auto id : ids) queue_.Leave(id);
  EXPECT_EQ(queue_.waiting(), 0U);
  EXPECT_EQ(queue_.size(), 0U);
  EXPECT_EQ(queue_.Next(now_), std::nullopt);
  for (int i = 0; i < 8; ++i) Wait("a");
  EXPECT_EQ(Turns(100), "aaaaaaaa");
}

TEST_F(HandshakeQueueTest, WhereItIsFullTheOldestThatKeepsUsWaitingGoes) {
  const auto silent = Enter("a");
  const auto waiting = Wait("b");  // it is we who keep it waiting
  for (int i = 2; i < 16; ++i) Enter(absl::StrCat(i));
  EXPECT_EQ(queue_.Enter("z", now_).refusal, Refusal::kInAll) << "nobody has had time to answer yet";
  now_ += HandshakeQueue::kGrace;
  const auto entered = queue_.Enter("z", now_);
  EXPECT_EQ(entered.refusal, Refusal::kNone);
  EXPECT_EQ(entered.evicted, silent);
  EXPECT_EQ(queue_.size(), 16U);
  EXPECT_FALSE(queue_.Knock(silent, true)) << "it is gone";
  ASSERT_EQ(queue_.Next(now_)->id, waiting);
  now_ += HandshakeQueue::kGrace;
  for (int i = 2; i < 16; ++i) EXPECT_NE(queue_.Enter(absl::StrCat("y", i), now_).evicted, waiting);
  EXPECT_NE(queue_.Enter("x", now_).evicted, std::nullopt);
}

TEST_F(HandshakeQueueTest, OneThatRunsAndDoesNotAnswerGoesToo) {
  const auto running = Wait("a");
  ASSERT_EQ(queue_.Next(now_)->id, running);
  for (int i = 1; i < 16; ++i) Wait(absl::StrCat(i), true);
  EXPECT_EQ(queue_.Enter("z", now_).refusal, Refusal::kInAll);
  now_ += HandshakeQueue::kGrace;
  EXPECT_EQ(queue_.Enter("z", now_).evicted, running);
}

TEST_F(HandshakeQueueTest, WhoHasNotPaidLeavesAQuarterFree) {
  for (int i = 0; i < 12; ++i) Wait(absl::StrCat(i));
  const auto one_more = Enter("x");
  EXPECT_FALSE(queue_.Knock(one_more, false));
  EXPECT_EQ(queue_.size(), 12U);
  for (int i = 0; i < 4; ++i) Wait("p", true);
  EXPECT_EQ(queue_.waiting(), 16U);
}

TEST_F(HandshakeQueueTest, AKnockCountsOnce) {
  const auto id = Wait("a");
  EXPECT_FALSE(queue_.Knock(id, true));
  EXPECT_EQ(queue_.waiting(), 1U);
}

}  // namespace
}  // namespace dotagent::p2p
