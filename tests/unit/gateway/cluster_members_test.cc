#include "services/gateway/cluster_members.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace dotagent::gateway_service {
namespace {

using ::testing::UnorderedElementsAre;

constexpr uint64_t kOurGeneration = 77;

class ClusterMembersTest : public testing::Test {
 protected:
  crypto::PublicKey NewKey() { return crypto::SigningKey::Generate(random_).public_key(); }

  // A member that has joined and has told us all.
  [[nodiscard]] static ClusterMember Joined(const crypto::PublicKey& key, uint64_t generation = 1) {
    return {.key = key, .generation = generation, .joined = true, .told_generation = kOurGeneration};
  }
  // It answers, and has been told all.
  void Settle(const ClusterMember& member) {
    ASSERT_TRUE(members_.Heard(member, now_).ok());
    members_.Told(member.key, member.generation);
  }
  // For so long one answers each second, if `silent` is not it.
  void Pass(absl::Duration time, const std::vector<ClusterMember>& answering) {
    for (const absl::Duration end = now_ + time; now_ < end;) {
      now_ += absl::Seconds(1);
      for (const auto& member : answering) ASSERT_TRUE(members_.Heard(member, now_).ok());
      members_.Tick(now_);
    }
  }

  SeededRandom random_{5};
  const crypto::PublicKey self_ = NewKey();
  const crypto::PublicKey a_ = NewKey();
  const crypto::PublicKey b_ = NewKey();
  absl::Duration now_ = absl::Seconds(1000);
  ClusterMembers members_{self_, kOurGeneration, {.max_members = 3}};
};

TEST_F(ClusterMembersTest, ALoneGatewayIsEveryInboxsHomeOnceItHasLooked) {
  EXPECT_EQ(members_.HomeOf("bob.agent"), std::nullopt);
  members_.Looked();
  EXPECT_TRUE(members_.joined());
  EXPECT_EQ(members_.HomeOf("bob.agent"), self_);
}

TEST_F(ClusterMembersTest, IsNoHomeBeforeEveryMemberHasToldItsPolicies) {
  ClusterMember a = Joined(a_);
  a.told_generation = 0;
  Settle(a);
  members_.Looked();
  EXPECT_FALSE(members_.joined());
  EXPECT_THAT(members_.active(), UnorderedElementsAre(a_));
  a.told_generation = kOurGeneration - 1;  // an earlier life's
  Settle(a);
  EXPECT_FALSE(members_.joined());
  Settle(Joined(a_));
  EXPECT_THAT(members_.active(), UnorderedElementsAre(a_, self_));
}

TEST_F(ClusterMembersTest, AMemberThatNeverTellsHoldsUpNobodyOnceItIsSilent) {
  ClusterMember a = Joined(a_);
  a.told_generation = 0;
  Settle(a);
  members_.Looked();
  Pass(absl::Seconds(6), {});
  EXPECT_THAT(members_.active(), UnorderedElementsAre(self_));
}

TEST_F(ClusterMembersTest, AMemberCountsOnceItIsToldAndHasJoined) {
  members_.Looked();
  ClusterMember a = Joined(a_);
  a.joined = false;
  ASSERT_TRUE(members_.Heard(a, now_).ok());
  ASSERT_EQ(members_.Untold().size(), 1u);
  members_.Told(a_, 1);
  EXPECT_TRUE(members_.Untold().empty());
  EXPECT_THAT(members_.active(), UnorderedElementsAre(self_));
  const uint64_t version = members_.version();
  ASSERT_TRUE(members_.Heard(Joined(a_), now_).ok());
  EXPECT_THAT(members_.active(), UnorderedElementsAre(a_, self_));
  EXPECT_EQ(members_.version(), version + 1);
  ASSERT_TRUE(members_.Heard(Joined(a_), now_).ok());
  EXPECT_EQ(members_.version(), version + 1);
}

TEST_F(ClusterMembersTest, MembersWithTheSameViewNameTheSameHome) {
  members_.Looked();
  Settle(Joined(a_));
  ClusterMembers other(a_, 1, {});
  other.Looked();
  ClusterMember us = Joined(self_, kOurGeneration);
  us.told_generation = 1;
  ASSERT_TRUE(other.Heard(us, now_).ok());
  other.Told(self_, kOurGeneration);
  int ours = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string name = absl::StrCat("agent-", i, ".agent");
    EXPECT_EQ(members_.HomeOf(name), other.HomeOf(name));
    ours += members_.HomeOf(name) == self_;
  }
  EXPECT_GT(ours, 20);
  EXPECT_LT(ours, 80);
}

TEST_F(ClusterMembersTest, ASilentMemberIsDownAndComesBackOnceItIsToldAgain) {
  members_.Looked();
  Settle(Joined(a_));
  Settle(Joined(b_));
  Pass(absl::Seconds(5), {Joined(b_)});
  EXPECT_EQ(members_.active().size(), 3u);
  Pass(absl::Seconds(1), {Joined(b_)});
  EXPECT_THAT(members_.active(), UnorderedElementsAre(b_, self_));
  EXPECT_EQ(members_.Up().size(), 1u);
  EXPECT_EQ(members_.Others().size(), 2u);
  ASSERT_TRUE(members_.Heard(Joined(a_), now_).ok());
  EXPECT_EQ(members_.active().size(), 2u);
  members_.Told(a_, 1);
  EXPECT_EQ(members_.active().size(), 3u);
}

TEST_F(ClusterMembersTest, WhatAnEarlierLifeWasToldDoesNotCount) {
  members_.Looked();
  ASSERT_TRUE(members_.Heard(Joined(a_, 1), now_).ok());
  ASSERT_TRUE(members_.Heard(Joined(a_, 2), now_).ok());
  members_.Told(a_, 1);
  EXPECT_THAT(members_.active(), UnorderedElementsAre(self_));
  members_.Told(a_, 2);
  EXPECT_EQ(members_.active().size(), 2u);
}

TEST_F(ClusterMembersTest, OneThatDrainsIsNobodysHome) {
  members_.Looked();
  ClusterMember a = Joined(a_);
  Settle(a);
  a.draining = true;
  ASSERT_TRUE(members_.Heard(a, now_).ok());
  EXPECT_THAT(members_.active(), UnorderedElementsAre(self_));
  // The last one keeps what it has.
  members_.Drain();
  EXPECT_TRUE(members_.active().empty());
  EXPECT_EQ(members_.HomeOf("bob.agent"), self_);
  a.draining = false;
  ASSERT_TRUE(members_.Heard(a, now_).ok());
  EXPECT_EQ(members_.HomeOf("bob.agent"), a_);
}

// The first return is free; the second within 10 minutes waits 5 seconds, then 10.
TEST_F(ClusterMembersTest, OneThatComesAndGoesIsHeldLongerEachTime) {
  members_.Looked();
  Settle(Joined(a_));
  std::vector<absl::Duration> holds;
  for (int i = 0; i < 4; ++i) {
    Pass(absl::Seconds(6), {});
    ASSERT_EQ(members_.active().size(), 1u);
    Settle(Joined(a_));
    const absl::Duration came = now_;
    while (members_.active().size() == 1) Pass(absl::Seconds(1), {Joined(a_)});
    holds.push_back(now_ - came);
    EXPECT_FALSE(members_.HoldsForRestarts(a_));
  }
  EXPECT_THAT(holds,
              testing::ElementsAre(absl::ZeroDuration(), absl::Seconds(5), absl::Seconds(10), absl::Seconds(20)));
  // Long enough, and all is forgotten.
  Pass(absl::Minutes(11), {Joined(a_)});
  Pass(absl::Seconds(6), {});
  Settle(Joined(a_));
  EXPECT_EQ(members_.active().size(), 2u);
}

TEST_F(ClusterMembersTest, OneThatRestartsTooOftenIsTold) {
  members_.Looked();
  Settle(Joined(a_, 1));
  Settle(Joined(a_, 2));
  EXPECT_FALSE(members_.HoldsForRestarts(a_));
  Settle(Joined(a_, 3));
  EXPECT_TRUE(members_.HoldsForRestarts(a_));
  EXPECT_THAT(members_.active(), UnorderedElementsAre(self_));
  Pass(absl::Seconds(5), {Joined(a_, 3)});
  EXPECT_FALSE(members_.HoldsForRestarts(a_));
  EXPECT_EQ(members_.active().size(), 2u);
}

TEST_F(ClusterMembersTest, IsNoHomeWhileAMemberHoldsIt) {
  members_.Looked();
  ClusterMember a = Joined(a_);
  a.holds_us = true;
  Settle(a);
  EXPECT_THAT(members_.active(), UnorderedElementsAre(a_));
  // One that goes has no say.
  a.draining = true;
  ASSERT_TRUE(members_.Heard(a, now_).ok());
  EXPECT_THAT(members_.active(), UnorderedElementsAre(self_));
}

TEST_F(ClusterMembersTest, TooManyAreRefusedUnlessSomeAreGone) {
  for (int i = 0; i < 3; ++i) Settle(Joined(NewKey()));
  const absl::Status refused = members_.Heard(Joined(a_), now_);
  EXPECT_EQ(ReasonOf(refused), reason::kLimit);
  Pass(absl::Seconds(6), {});
  EXPECT_TRUE(members_.Heard(Joined(a_), now_).ok());
  EXPECT_EQ(members_.Others().size(), 3u);
  EXPECT_NE(members_.Find(a_), nullptr);
  Pass(absl::Hours(25), {});
  EXPECT_TRUE(members_.Others().empty());
}

TEST_F(ClusterMembersTest, OurOwnAddressIsNoMember) {
  ASSERT_TRUE(members_.Heard(Joined(self_), now_).ok());
  EXPECT_TRUE(members_.Others().empty());
}

}  // namespace
}  // namespace dotagent::gateway_service
